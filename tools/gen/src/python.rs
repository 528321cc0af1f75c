use crate::model::Op;

/// None until the binding exists.
pub fn emit(_ops: &[Op]) -> Option<String> {
    None
}
