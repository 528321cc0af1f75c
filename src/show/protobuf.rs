//! Messages of protocol buffers, as far as event files need them: fields that are written one after the other.

use crate::backend::memory;
use crate::Result;

/// A message's bytes so far.
#[derive(Default)]
pub struct Message(pub Vec<u8>);

impl Message {
    fn varint(&mut self, mut v: u64) -> Result<()> {
        memory::reserve(&mut self.0, 10)?;
        while v >= 128 {
            self.0.push(v as u8 | 128);
            v >>= 7;
        }
        self.0.push(v as u8);
        Ok(())
    }
    fn key(&mut self, field: u32, wire: u64) -> Result<()> {
        self.varint((field as u64) << 3 | wire)
    }
    fn raw(&mut self, bytes: &[u8]) -> Result<()> {
        memory::reserve(&mut self.0, bytes.len())?;
        self.0.extend_from_slice(bytes);
        Ok(())
    }
    pub fn int(&mut self, field: u32, v: i64) -> Result<()> {
        self.key(field, 0)?;
        self.varint(v as u64)
    }
    pub fn double(&mut self, field: u32, v: f64) -> Result<()> {
        self.key(field, 1)?;
        self.raw(&v.to_le_bytes())
    }
    pub fn float(&mut self, field: u32, v: f32) -> Result<()> {
        self.key(field, 5)?;
        self.raw(&v.to_le_bytes())
    }
    pub fn bytes(&mut self, field: u32, v: &[u8]) -> Result<()> {
        self.key(field, 2)?;
        self.varint(v.len() as u64)?;
        self.raw(v)
    }
    pub fn text(&mut self, field: u32, v: &str) -> Result<()> {
        self.bytes(field, v.as_bytes())
    }
    /// Packed numbers.
    pub fn doubles(&mut self, field: u32, v: &[f64]) -> Result<()> {
        self.key(field, 2)?;
        self.varint(8 * v.len() as u64)?;
        v.iter().try_for_each(|x| self.raw(&x.to_le_bytes()))
    }
    pub fn message(&mut self, field: u32, write: impl FnOnce(&mut Message) -> Result<()>) -> Result<()> {
        let mut inner = Message::default();
        write(&mut inner)?;
        self.bytes(field, &inner.0)
    }
}
