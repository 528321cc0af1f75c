//! The order of an options struct's fields. A program was compiled against the struct as it was: a field that has a place in
//! `abi/layout.txt` keeps it, and fields that came later stand behind all of those. Only a struct that is not there yet, and
//! what is added to one that is, are ordered by kind, so that nothing lies between fields that has no name.

/// What was agreed on; `tests/abi/check.sh --update` writes it.
const LAYOUT: &str = include_str!("../../../abi/layout.txt");

/// The fields of a struct in their places, but for its size.
fn agreed<'a>(layout: &'a str, name: &str) -> Vec<&'a str> {
    let start = format!("offsetof {name}.");
    let fields = layout.lines().filter_map(|l| l.strip_prefix(start.as_str())?.split_once(' '));
    fields.map(|(field, _)| field).filter(|f| *f != "struct_size").collect()
}

/// `fields` in the struct's order. `by_kind` orders what has no place yet, and where its small fields are odd in number puts
/// in the reserved one, which is given a free name.
pub fn ordered<T>(
    name: &str,
    fields: Vec<T>,
    called: impl Fn(&T) -> &str,
    reserved: impl Fn(String) -> T,
    by_kind: impl Fn(Vec<T>, T) -> Vec<T>,
) -> Vec<T> {
    ordered_in(LAYOUT, name, fields, called, reserved, by_kind)
}

fn ordered_in<T>(
    layout: &str,
    name: &str,
    fields: Vec<T>,
    called: impl Fn(&T) -> &str,
    reserved: impl Fn(String) -> T,
    by_kind: impl Fn(Vec<T>, T) -> Vec<T>,
) -> Vec<T> {
    let agreed = agreed(layout, name);
    let (mut old, new): (Vec<T>, Vec<T>) = fields.into_iter().partition(|f| agreed.contains(&called(f)));
    let mut out = Vec::new();
    let mut spare = 0;
    for place in &agreed {
        if let Some(at) = old.iter().position(|f| called(f) == *place) {
            out.push(old.remove(at));
        } else if place.starts_with("reserved") {
            spare += 1;
            out.push(reserved(place.to_string()));
        }
    }
    let free = if spare == 0 { "reserved".to_string() } else { format!("reserved{}", spare + 1) };
    out.extend(by_kind(new, reserved(free)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fields of four bytes are called in capitals.
    fn by_kind(mut fields: Vec<String>, reserved: String) -> Vec<String> {
        let small = |f: &String| f.chars().all(char::is_uppercase);
        fields.sort_by_key(small);
        if fields.iter().filter(|f| small(f)).count() % 2 == 1 {
            fields.push(reserved);
        }
        fields
    }
    fn order(layout: &str, fields: &[&str]) -> String {
        let fields = fields.iter().map(|f| f.to_string()).collect();
        ordered_in(layout, "taper_x_options", fields, |f| f, |r| r, by_kind).join(" ")
    }

    #[test]
    fn a_field_keeps_its_place_and_a_new_one_goes_to_the_end() {
        let layout = "sizeof taper_x_options 32\n\
                      offsetof taper_x_options.struct_size 0\n\
                      offsetof taper_x_options.lr 8\n\
                      offsetof taper_x_options.A 16\n\
                      offsetof taper_x_options.reserved 20\n\
                      offsetof taper_x_options_more.eps 8\n";
        // A struct that is new is ordered by kind.
        assert_eq!(order("", &["A", "lr", "B", "C", "eps"]), "lr eps A B C reserved");
        assert_eq!(order(layout, &["A", "lr"]), "lr A reserved");
        // Neither a number before nor a flag between moves what is there.
        assert_eq!(order(layout, &["eps", "A", "lr"]), "lr A reserved eps");
        assert_eq!(order(layout, &["B", "A", "eps", "lr"]), "lr A reserved eps B reserved2");
        assert_eq!(order(layout, &["B", "A", "lr", "C"]), "lr A reserved B C");
    }

    /// Every struct of the list is found by its name, and nothing is in it twice.
    #[test]
    fn the_agreed_layout_is_read() {
        assert_eq!(agreed(LAYOUT, "taper_nn_conv_options")[..2], ["stride", "padding"]);
        assert!(agreed(LAYOUT, "taper_nn_conv").is_empty());
    }
}
