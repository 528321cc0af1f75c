//! A folder of images: one folder inside for each class, as torchvision's ImageFolder has it.

use crate::backend::memory;
use crate::io::file::{cannot, io_error};
use crate::Result;
use std::path::Path;

/// Folders inside folders, links included, so that a circle of links ends.
const MOST_DEEP: usize = 32;

/// Files and folders of a folder, by name.
struct Listing {
    files: Vec<String>,
    folders: Vec<String>,
}

fn list(folder: &Path) -> Result<Listing> {
    let mut found = Listing { files: Vec::new(), folders: Vec::new() };
    for entry in std::fs::read_dir(folder).map_err(|e| io_error("read", folder, e))? {
        let entry = entry.map_err(|e| io_error("read", folder, e))?;
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|n| !n.contains(['\n', '\0'])) else {
            return Err(cannot("read", &entry.path(), "its name is no UTF-8, or has a newline inside"));
        };
        // What a link refers to counts; a broken one is nothing.
        let Ok(about) = std::fs::metadata(entry.path()) else { continue };
        let to = if about.is_dir() { &mut found.folders } else { &mut found.files };
        memory::push(to, memory::text(name)?)?;
    }
    found.files.sort_unstable();
    found.folders.sort_unstable();
    Ok(found)
}

fn is_image(name: &str) -> bool {
    let ends = |with: &str| {
        let at = name.len().checked_sub(with.len());
        at.and_then(|at| name.get(at..)).is_some_and(|end| end.eq_ignore_ascii_case(with))
    };
    [".png", ".jpg", ".jpeg"].into_iter().any(ends)
}

/// Paths of images below a folder: those of a folder by name, folder after folder by path.
fn below(root: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut todo = vec![(root.to_path_buf(), 0)];
    while let Some((folder, depth)) = todo.pop() {
        let listing = list(&folder)?;
        let mut files = Vec::new();
        for name in listing.files.iter().filter(|n| is_image(n)) {
            let path = folder.join(name);
            let Some(path) = path.to_str() else {
                return Err(cannot("read", &path, "its path is no UTF-8"));
            };
            memory::push(&mut files, memory::text(path)?)?;
        }
        memory::push(&mut found, (folder.clone(), files))?;
        if depth == MOST_DEEP && !listing.folders.is_empty() {
            return Err(cannot("read", &folder, format!("it is more than {MOST_DEEP} folders deep")));
        }
        for name in &listing.folders {
            memory::push(&mut todo, (folder.join(name), depth + 1))?;
        }
    }
    found.sort_unstable_by(|a, b| a.0.as_os_str().cmp(b.0.as_os_str()));
    let mut out = Vec::new();
    for (_, files) in found {
        for file in files {
            memory::push(&mut out, file)?;
        }
    }
    Ok(out)
}

/// Classes in order, paths of images, and the number of each image's class.
pub struct Folder {
    pub classes: Vec<String>,
    pub paths: Vec<String>,
    pub labels: Vec<i64>,
}

pub fn images(folder: &Path) -> Result<Folder> {
    let classes = list(folder)?.folders;
    if classes.is_empty() {
        return Err(cannot("read", folder, "it has no folder inside, and each class needs one"));
    }
    let mut found = Folder { classes, paths: Vec::new(), labels: Vec::new() };
    for (label, class) in found.classes.iter().enumerate() {
        let inside = folder.join(class);
        let paths = below(&inside)?;
        if paths.is_empty() {
            return Err(cannot("read", &inside, "it has no image (.png, .jpg, .jpeg), and each class needs one"));
        }
        for path in paths {
            memory::push(&mut found.paths, path)?;
            memory::push(&mut found.labels, label as i64)?;
        }
    }
    Ok(found)
}
