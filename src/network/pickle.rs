//! Python's pickles as plain data: what they would call is named, never called.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};

/// A pickled value. Lists and dictionaries are shared, since a pickle fills them after it has named them.
#[derive(Clone, Debug)]
pub enum Value {
    Int(i64),
    Text(Rc<str>),
    /// Nothing, truth, a fraction or bytes: what no tensor is made of.
    Other,
    Tuple(Rc<[Value]>),
    List(Rc<RefCell<Vec<Value>>>),
    Dict(Rc<RefCell<Vec<(Value, Value)>>>),
    /// `module.name` of a class or function.
    Global(Rc<str>),
    /// What a class or function would make of its arguments.
    Made(Rc<str>, Rc<[Value]>),
    /// What lies outside of the pickle, by its identity there.
    Outside(Rc<Value>),
}

impl Value {
    pub fn int(&self) -> Result<i64> {
        let Value::Int(int) = self else { bail!("a number was expected, not {self:?}") };
        Ok(*int)
    }

    pub fn text(&self) -> Result<&str> {
        let Value::Text(text) = self else { bail!("a text was expected, not {self:?}") };
        Ok(text)
    }

    pub fn tuple(&self) -> Result<&[Value]> {
        let Value::Tuple(tuple) = self else { bail!("a tuple was expected, not {self:?}") };
        Ok(tuple)
    }
}

/// Reads one pickle of protocol 2 to 5 from the head of `bytes`; also says how many bytes it took.
///
/// # Errors
/// If it is cut, or needs more than state dictionaries do.
pub fn read(bytes: &[u8]) -> Result<(Value, usize)> {
    let mut machine = Machine { bytes, at: 0, stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
    loop {
        let place = machine.at;
        if let Some(value) = machine.step().with_context(|| format!("pickle, byte {place}"))? {
            return Ok((value, machine.at));
        }
    }
}

/// The machine for which pickles are programs (Python's `pickletools.py` lists its operations).
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
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
        self.stack.push(value);
        Ok(())
    }

    fn pop(&mut self) -> Result<Value> {
        self.stack.pop().context("nothing on the stack")
    }

    fn pop_n(&mut self, n: usize) -> Result<Vec<Value>> {
        let from = self.stack.len().checked_sub(n).context("too little on the stack")?;
        Ok(self.stack.split_off(from))
    }

    /// All above the last mark.
    fn pop_marked(&mut self) -> Result<Vec<Value>> {
        let mark = self.marks.pop().context("no mark")?;
        ensure!(mark <= self.stack.len(), "a mark above the stack");
        Ok(self.stack.split_off(mark))
    }

    fn keep(&mut self, key: u32) -> Result<()> {
        let top = self.stack.last().context("nothing on the stack")?;
        self.memo.insert(key, top.clone());
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Result<()> {
        let kept = self.memo.get(&key).cloned();
        self.push(kept.with_context(|| format!("nothing was kept as {key}"))?)
    }

    fn append(&mut self, values: Vec<Value>) -> Result<()> {
        let Some(Value::List(list)) = self.stack.last() else { bail!("values for no list") };
        list.borrow_mut().extend(values);
        Ok(())
    }

    fn insert(&mut self, values: Vec<Value>) -> Result<()> {
        let Some(Value::Dict(dict)) = self.stack.last() else { bail!("pairs for no dictionary") };
        let (pairs, rest) = values.as_chunks::<2>();
        ensure!(rest.is_empty(), "a key without a value");
        dict.borrow_mut().extend(pairs.iter().map(|[key, value]| (key.clone(), value.clone())));
        Ok(())
    }

    fn make(&mut self) -> Result<()> {
        let [by, with] = self.pop_n(2)?.try_into().expect("two values");
        let Value::Global(by) = by else { bail!("what is called has no name") };
        let Value::Tuple(with) = with else { bail!("{by} is given no tuple") };
        self.push(match (&*by, with.is_empty()) {
            ("collections.OrderedDict", true) => Value::Dict(Rc::default()),
            _ => Value::Made(by, with),
        })
    }

    /// One operation; the value at the end.
    fn step(&mut self) -> Result<Option<Value>> {
        match self.take(1)?[0] {
            0x80 => {
                let [protocol] = self.number()?;
                ensure!((2..=5).contains(&protocol), "protocol {protocol} is not read");
            }
            0x95 => drop(self.take(8)?),
            b'.' => return Ok(Some(self.pop()?)),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'N' | 0x88 | 0x89 => self.push(Value::Other)?,
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
            b')' => self.push(Value::Tuple([].into()))?,
            operation @ 0x85..=0x87 => {
                let values = self.pop_n(usize::from(operation - 0x84))?;
                self.push(Value::Tuple(values.into()))?;
            }
            b't' => {
                let values = self.pop_marked()?;
                self.push(Value::Tuple(values.into()))?;
            }
            b']' => self.push(Value::List(Rc::default()))?,
            b'}' => self.push(Value::Dict(Rc::default()))?,
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
            b'q' => {
                let [key] = self.number()?;
                self.keep(key.into())?;
            }
            b'r' => {
                let key = u32::from_le_bytes(self.number()?);
                self.keep(key)?;
            }
            0x94 => self.keep(self.memo.len() as u32)?,
            b'h' => {
                let [key] = self.number()?;
                self.recall(key.into())?;
            }
            b'j' => {
                let key = u32::from_le_bytes(self.number()?);
                self.recall(key)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Value::Global(format!("{module}.{name}").into()))?;
            }
            0x93 => {
                let names = self.pop_n(2)?;
                self.push(Value::Global(format!("{}.{}", names[0].text()?, names[1].text()?).into()))?;
            }
            b'R' | 0x81 => self.make()?,
            // The state of an object: of those that we keep, none has any that matters (`_metadata`).
            b'b' => drop(self.pop()?),
            b'Q' => {
                let identity = self.pop()?;
                self.push(Value::Outside(Rc::new(identity)))?;
            }
            other => bail!("operation {other:#04x} has no place in a state dictionary"),
        }
        Ok(None)
    }
}
