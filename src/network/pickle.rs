//! Python's pickles as plain data: what they would call is named, never called.
//!
//! A pickle can hold values in themselves, in each other to any depth, or share one so often that a few bytes
//! stand for more values than there is room for. So values are counted as if nothing was shared, and how deep
//! they lie in each other; neither may pass a limit, and what was put into another can no longer be filled.

use std::collections::HashMap;
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};

use value::{Extent, Filled};

mod value;

pub(super) use value::Value;

/// Reads one pickle of protocol 2 to 5 from the head of `bytes`; also says how many bytes it took.
///
/// # Errors
/// If it is cut, or needs more than state dictionaries do.
pub(super) fn read(bytes: &[u8]) -> Result<(Value, usize)> {
    let mut machine = Machine { bytes, at: 0, stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
    loop {
        let place = machine.at;
        if let Some(value) = machine.step().with_context(|| format!("pickle, byte {place}"))? {
            return Ok((value, machine.at));
        }
    }
}

/// Before the names of a `TorchScript` program's own classes.
pub(super) const SCRIPTED: &str = "__torch__.";

/// The machine for which pickles are programs (Python's `pickletools.py` lists its operations).
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Held>,
    marks: Vec<usize>,
    memo: HashMap<u32, Held>,
}

/// A value of the machine, and its extent where it cannot change.
#[derive(Clone)]
struct Held {
    value: Value,
    extent: Extent,
}

impl Held {
    fn extent(&self) -> Extent {
        match &self.value {
            Value::List(list) => list.extent.get(),
            Value::Dict(dict) => dict.extent.get(),
            _ => self.extent,
        }
    }

    /// The value as it is put into another.
    fn placed(self) -> Value {
        match &self.value {
            Value::List(list) => list.is_placed.set(true),
            Value::Dict(dict) => dict.is_placed.set(true),
            _ => {}
        }
        self.value
    }
}

fn extents(held: &[Held]) -> Vec<Extent> {
    held.iter().map(Held::extent).collect()
}

impl<'a> Machine<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        ensure!(n <= rest.len(), "it ends early");
        self.at += n;
        Ok(&rest[..n])
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N)?.try_into().expect("N bytes"))
    }

    fn line(&mut self) -> Result<&'a str> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|&byte| byte == b'\n').context("it ends early")?;
        self.at += end + 1;
        Ok(std::str::from_utf8(&rest[..end])?)
    }

    fn text(&mut self, length: usize) -> Result<()> {
        let text = std::str::from_utf8(self.take(length)?)?.into();
        self.push(Value::Text(text))
    }

    fn push(&mut self, value: Value) -> Result<()> {
        self.stack.push(Held { value, extent: Extent::ONE });
        Ok(())
    }

    fn pop(&mut self) -> Result<Held> {
        self.stack.pop().context("nothing on the stack")
    }

    fn push_tuple(&mut self, values: Vec<Held>) -> Result<()> {
        let extent = Extent::around(values.iter().map(Held::extent))?;
        let value = Value::Tuple(values.into_iter().map(Held::placed).collect());
        self.stack.push(Held { value, extent });
        Ok(())
    }

    fn pop_n(&mut self, n: usize) -> Result<Vec<Held>> {
        let from = self.stack.len().checked_sub(n).context("too little on the stack")?;
        Ok(self.stack.split_off(from))
    }

    /// All above the last mark.
    fn pop_marked(&mut self) -> Result<Vec<Held>> {
        let mark = self.marks.pop().context("no mark")?;
        ensure!(mark <= self.stack.len(), "a mark above the stack");
        Ok(self.stack.split_off(mark))
    }

    fn memoise(&mut self, key: u32) -> Result<()> {
        let top = self.stack.last().context("nothing on the stack")?;
        self.memo.insert(key, top.clone());
        Ok(())
    }

    fn push_memoised(&mut self, key: u32) -> Result<()> {
        let kept = self.memo.get(&key).cloned();
        self.stack.push(kept.with_context(|| format!("nothing was kept as {key}"))?);
        Ok(())
    }

    fn append(&mut self, values: Vec<Held>) -> Result<()> {
        let Some(Held { value: Value::List(list), .. }) = self.stack.last() else {
            bail!("values for no list")
        };
        let inner = extents(&values);
        let values: Vec<Value> = values.into_iter().map(Held::placed).collect();
        list.fill(values.into_iter(), &inner)
    }

    fn insert(&mut self, values: Vec<Held>) -> Result<()> {
        let Some(Held { value: Value::Dict(dict), .. }) = self.stack.last() else {
            bail!("pairs for no dictionary")
        };
        let inner = extents(&values);
        let mut values = values.into_iter().map(Held::placed);
        let mut pairs = Vec::with_capacity(inner.len() / 2);
        while let Some(key) = values.next() {
            pairs.push((key, values.next().context("a key without a value")?));
        }
        dict.fill(pairs.into_iter(), &inner)
    }

    fn make(&mut self) -> Result<()> {
        let [by, with] = self.pop_n(2)?.try_into().ok().context("two values")?;
        let Value::Global(by) = by.value else { bail!("what is called has no name") };
        let extent = with.extent();
        let Value::Tuple(with) = with.value else { bail!("{by} is given no tuple") };
        let value = match (&*by, with.is_empty()) {
            ("collections.OrderedDict", true) => Value::Dict(Filled::new()),
            _ => Value::Made(by, with),
        };
        self.stack.push(Held { value, extent });
        Ok(())
    }

    /// The state of an object. A module of a `TorchScript` program is what it holds; of other objects that we keep, none has
    /// a state that matters (`_metadata`).
    fn give_state(&mut self) -> Result<()> {
        let state = self.pop()?;
        let is_module = |held: &Held| matches!(&held.value, Value::Made(by, _) if by.starts_with(SCRIPTED));
        if self.stack.last().is_some_and(is_module) {
            self.pop()?;
            self.stack.push(state);
        }
        Ok(())
    }

    /// One operation; the value at the end.
    fn step(&mut self) -> Result<Option<Value>> {
        match self.take(1)?[0] {
            0x80 => {
                let [protocol] = self.number()?;
                ensure!((2..=5).contains(&protocol), "protocol {protocol} is not read");
            }
            0x95 => drop(self.take(8)?),
            b'.' => return Ok(Some(self.pop()?.value)),
            b'(' => self.marks.push(self.stack.len()),
            b'N' | 0x88 | 0x89 => self.push(Value::Other)?,
            b')' => self.push(Value::Tuple([].into()))?,
            operation @ 0x85..=0x87 => {
                let values = self.pop_n(usize::from(operation - 0x84))?;
                self.push_tuple(values)?;
            }
            b't' => {
                let values = self.pop_marked()?;
                self.push_tuple(values)?;
            }
            b']' => self.push(Value::List(Filled::new()))?,
            b'}' => self.push(Value::Dict(Filled::new()))?,
            b'a' => {
                let value = self.pop()?;
                self.append(vec![value])?;
            }
            b'e' => {
                let values = self.pop_marked()?;
                self.append(values)?;
            }
            b's' => {
                let pair = self.pop_n(2)?;
                self.insert(pair)?;
            }
            b'u' => {
                let pairs = self.pop_marked()?;
                self.insert(pairs)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Value::Global(format!("{module}.{name}").into()))?;
            }
            0x93 => {
                let names = self.pop_n(2)?;
                self.push(Value::Global(
                    format!("{}.{}", names[0].value.text()?, names[1].value.text()?).into(),
                ))?;
            }
            b'R' | 0x81 => self.make()?,
            b'0' => drop(self.pop()?),
            b'b' => self.give_state()?,
            b'Q' => {
                let identity = self.pop()?;
                let extent = Extent::around([identity.extent()].into_iter())?;
                let value = Value::Outside(Rc::new(identity.placed()));
                self.stack.push(Held { value, extent });
            }
            operation => self.plain(operation)?,
        }
        Ok(None)
    }

    /// Numbers and texts.
    fn plain(&mut self, operation: u8) -> Result<()> {
        match operation {
            b'J' => {
                let int = i32::from_le_bytes(self.number()?);
                self.push(Value::Int(int.into()))?;
            }
            b'K' => {
                let [int] = self.number()?;
                self.push(Value::Int(int.into()))?;
            }
            b'M' => {
                let int = u16::from_le_bytes(self.number()?);
                self.push(Value::Int(int.into()))?;
            }
            0x8a => {
                let [length] = self.number()?;
                let digits = self.take(length.into())?;
                let negative = digits.last().is_some_and(|last| last & 0x80 != 0);
                let mut wide = [if negative { 0xff } else { 0 }; 8];
                let n = digits.len().min(8);
                wide[..n].copy_from_slice(&digits[..n]);
                self.push(Value::Int(i64::from_le_bytes(wide)))?;
            }
            b'G' => {
                self.take(8)?;
                self.push(Value::Other)?;
            }
            b'X' => {
                let length = u32::from_le_bytes(self.number()?);
                self.text(length as usize)?;
            }
            0x8c => {
                let [length] = self.number()?;
                self.text(length.into())?;
            }
            b'U' | b'C' => {
                let [length] = self.number()?;
                self.take(length.into())?;
                self.push(Value::Other)?;
            }
            b'T' | b'B' => {
                let length = u32::from_le_bytes(self.number()?);
                self.take(length as usize)?;
                self.push(Value::Other)?;
            }
            operation => self.memoised(operation)?,
        }
        Ok(())
    }

    /// Keeping values for later, and taking them up again.
    fn memoised(&mut self, operation: u8) -> Result<()> {
        match operation {
            b'q' => {
                let [key] = self.number()?;
                self.memoise(key.into())?;
            }
            b'r' => {
                let key = u32::from_le_bytes(self.number()?);
                self.memoise(key)?;
            }
            0x94 => self.memoise(self.memo.len() as u32)?,
            b'h' => {
                let [key] = self.number()?;
                self.push_memoised(key.into())?;
            }
            b'j' => {
                let key = u32::from_le_bytes(self.number()?);
                self.push_memoised(key)?;
            }
            other => bail!("operation {other:#04x} has no place in a state dictionary"),
        }
        Ok(())
    }
}
