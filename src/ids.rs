//! Names and identities that must not be taken for one another.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Declares texts of one meaning each. They read as `&str`; making one of another text takes a word. Copies share
/// their text.
macro_rules! id {
    ($($(#[$about:meta])* $name:ident),* $(,)?) => {$(
        $(#[$about])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Says that `text` is one.
            pub fn new(text: impl Into<String>) -> $name {
                $name(text.into().into())
            }

            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        /// As the name of a file or folder.
        impl AsRef<Path> for $name {
            fn as_ref(&self) -> &Path {
                self.as_str().as_ref()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.as_ref().to_owned()
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                String::deserialize(deserializer).map($name::new)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                *self.0 == *other
            }
        }

        impl PartialEq<$name> for str {
            fn eq(&self, other: &$name) -> bool {
                *self == *other.0
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                *self.0 == **other
            }
        }
    )*};
}

id! {
    /// A task of the benchmark, as its spec calls it: `his`, `brain_tumor`.
    TaskName,
    /// A picture: a hash over its task, its path in the owner's layout and its frame. It stays when files move.
    ImageId,
    /// A cell of a run: a hash over everything that determines its scores.
    CellId,
}

/// The control whose labels are permuted, or a variant of it: it says nothing of the labels that there are.
pub fn is_of_permuted_labels(method: &str) -> bool {
    method.split(':').next() == Some(PERMUTED)
}

/// Name of the control whose labels are permuted.
pub const PERMUTED: &str = "control-label-shuffle";

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::ids::{CellId, TaskName};

    #[test]
    fn an_id_is_its_text_in_json_in_maps_and_in_words() {
        let name = TaskName::new("lag");
        assert_eq!(serde_json::to_string(&name).unwrap(), "\"lag\"");
        assert_eq!(serde_json::from_str::<CellId>("\"c1\"").unwrap(), "c1");
        assert_eq!(BTreeMap::from([(name.clone(), 3)]).get("lag"), Some(&3));
        assert_eq!(format!("{name:>5}"), "  lag");
    }
}
