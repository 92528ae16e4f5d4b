//! Values of a pickle, and how many of them lie in one.

use std::cell::{Cell, Ref, RefCell};
use std::fmt;
use std::rc::Rc;

use anyhow::{Result, bail, ensure};

/// Values may lie in each other to this depth; state dictionaries need about 8.
const MAX_DEPTH: u32 = 64;

/// And be as many as this, counted as if none was shared; a tensor of a state dictionary takes about 20.
const MAX_VALUES: u64 = 1 << 22;

/// How deep and how many values lie in one, itself among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    depth: u32,
    values: u64,
}

impl Extent {
    pub(super) const ONE: Extent = Extent { depth: 1, values: 1 };

    /// Of what holds values of these extents.
    pub(super) fn around(inner: impl Iterator<Item = Extent>) -> Result<Extent> {
        inner.into_iter().try_fold(Extent::ONE, Extent::with)
    }

    /// As one more value is put in.
    pub(super) fn with(self, inner: Extent) -> Result<Extent> {
        let around = Extent {
            depth: self.depth.max(inner.depth + 1),
            values: self.values.saturating_add(inner.values),
        };
        ensure!(around.depth <= MAX_DEPTH, "its values lie in each other over {MAX_DEPTH} deep");
        ensure!(around.values <= MAX_VALUES, "it stands for over {MAX_VALUES} values");
        Ok(around)
    }
}

/// What a pickle fills after it has named it.
pub(crate) struct Filled<T> {
    items: RefCell<Vec<T>>,
    pub(super) extent: Cell<Extent>,
    /// Whether it lies in another value, and is thus complete.
    pub(super) is_placed: Cell<bool>,
}

impl<T> Filled<T> {
    pub(super) fn new() -> Rc<Filled<T>> {
        Rc::new(Filled {
            items: RefCell::default(),
            extent: Cell::new(Extent::ONE),
            is_placed: Cell::new(false),
        })
    }

    pub(crate) fn items(&self) -> Ref<'_, Vec<T>> {
        self.items.borrow()
    }

    /// Puts items in that count for `inner`.
    pub(super) fn fill(&self, items: impl Iterator<Item = T>, inner: &[Extent]) -> Result<()> {
        ensure!(!self.is_placed.get(), "a value is filled after it was put into another");
        let extent = inner.iter().try_fold(self.extent.get(), |extent, inner| extent.with(*inner))?;
        self.extent.set(extent);
        self.items.borrow_mut().extend(items);
        Ok(())
    }
}

/// A pickled value. Lists and dictionaries are shared, since a pickle fills them after it has named them.
#[derive(Clone)]
pub(crate) enum Value {
    Int(i64),
    Text(Rc<str>),
    /// Nothing, truth, a fraction or bytes: what no tensor is made of.
    Other,
    Tuple(Rc<[Value]>),
    List(Rc<Filled<Value>>),
    Dict(Rc<Filled<(Value, Value)>>),
    /// `module.name` of a class or function.
    Global(Rc<str>),
    /// What a class or function would make of its arguments.
    Made(Rc<str>, Rc<[Value]>),
    /// What lies outside of the pickle, by its identity there.
    Outside(Rc<Value>),
}

/// Its kind alone: what lies in it may be long.
impl fmt::Debug for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Value::Int(int) => write!(formatter, "the number {int}"),
            Value::Text(text) => {
                write!(formatter, "the text {:?}", text.chars().take(64).collect::<String>())
            }
            Value::Other => formatter.write_str("a value of another kind"),
            Value::Tuple(values) => write!(formatter, "a tuple of {}", values.len()),
            Value::List(list) => write!(formatter, "a list of {}", list.items().len()),
            Value::Dict(dict) => write!(formatter, "a dictionary of {}", dict.items().len()),
            Value::Global(name) => write!(formatter, "the name {name}"),
            Value::Made(by, _) => write!(formatter, "what {by} makes"),
            Value::Outside(_) => formatter.write_str("a value outside of the pickle"),
        }
    }
}

impl Value {
    pub(crate) fn int(&self) -> Result<i64> {
        let Value::Int(int) = self else { bail!("a number was expected, not {self:?}") };
        Ok(*int)
    }

    pub(crate) fn text(&self) -> Result<&str> {
        let Value::Text(text) = self else { bail!("a text was expected, not {self:?}") };
        Ok(text)
    }

    pub(crate) fn tuple(&self) -> Result<&[Value]> {
        let Value::Tuple(tuple) = self else { bail!("a tuple was expected, not {self:?}") };
        Ok(tuple)
    }
}
