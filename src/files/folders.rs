//! Paths in what is handed on: the folders of this machine, which may name its user, stay out.

use std::path::{Component, Path, PathBuf};

/// A text in which every absolute path is cut to its last name: `.../weights.pth`.
pub fn without_folders(text: &str) -> String {
    let is_end = |c: char| c.is_whitespace() || matches!(c, '\'' | '"' | '`' | '(' | ')' | '=' | ',' | ';');
    text.split_inclusive(is_end)
        .map(|piece| {
            let end =
                piece.char_indices().last().filter(|(_, c)| is_end(*c)).map_or(piece.len(), |(at, _)| at);
            let (word, rest) = piece.split_at(end);
            let (path, colon) = word.strip_suffix(':').map_or((word, ""), |path| (path, ":"));
            format!("{}{colon}{rest}", last_name(path))
        })
        .collect()
}

/// `.../x` of an absolute path to `x`, and everything else as it is.
pub fn last_name(path: &str) -> String {
    let name = Path::new(path).file_name().map(|name| name.to_string_lossy());
    match name {
        Some(name) if Path::new(path).is_absolute() => format!(".../{name}"),
        _ => path.to_owned(),
    }
}

/// Stands in a run's files for the cache, which every machine has in a place of its own.
pub const CACHE: &str = "@cache";

/// The path that a file in `folder` states, which begins there or at [`CACHE`], this machine's being `cache`.
pub fn stated(folder: &Path, cache: &Path, path: &Path) -> PathBuf {
    match path.strip_prefix(CACHE) {
        Ok(below) => cache.join(below),
        Err(_) => folder.join(path),
    }
}

/// How `to` is reached from the folder `from`; both are absolute and have no links in them.
pub fn from_to(from: &Path, to: &Path) -> PathBuf {
    let (from, to): (Vec<Component>, Vec<Component>) =
        (from.components().collect(), to.components().collect());
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = from[common..].iter().map(|_| Component::ParentDir);
    let path: PathBuf = up.chain(to[common..].iter().copied()).collect();
    if path.as_os_str().is_empty() { PathBuf::from(".") } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_paths_lose_their_folders_and_nothing_else_changes() {
        let text =
            "reading /home/ann/w.pth: no such file (in '/data/x/y', a/b, 3/4) --teacher r=/home/ann/w.pth /";
        assert_eq!(
            without_folders(text),
            "reading .../w.pth: no such file (in '.../y', a/b, 3/4) --teacher r=.../w.pth /"
        );
        assert_eq!(last_name("/home/ann lee/w.pth"), ".../w.pth");
        assert_eq!(last_name("w.pth"), "w.pth");
    }

    #[test]
    fn a_way_between_folders_leads_there() {
        let way = |from: &str, to: &str| from_to(Path::new(from), Path::new(to)).display().to_string();
        assert_eq!(way("/a/reports/quick", "/a/manifests/phantom"), "../../manifests/phantom");
        assert_eq!(way("/a/b", "/a/b/c"), "c");
        assert_eq!(way("/a", "/a"), ".");
        assert_eq!(way("/a/b", "/c"), "../../c");
    }

    #[test]
    fn stated_paths_begin_at_their_folder_or_at_the_cache() {
        let found = |path: &str| {
            stated(Path::new("/run"), Path::new("/cache"), Path::new(path)).display().to_string()
        };
        assert_eq!(found("../manifests/phantom"), "/run/../manifests/phantom");
        assert_eq!(found("@cache/weights/a.pth"), "/cache/weights/a.pth");
        assert_eq!(found("/elsewhere/a.pth"), "/elsewhere/a.pth");
    }
}
