//! Indexing: `t[...]` and `t[...] = value`.

use super::convert::{guard, Call};
use super::types::*;
use crate::base::error::{ErrorKind, Result};
use crate::ops::{self, IndexItem};

unsafe fn items(c: &Call, p: *const taper_index_item, n: usize) -> Result<Vec<IndexItem>> {
    // SAFETY: the header's contract.
    let items = unsafe { c.slice(1, "items", p, n) }?;
    let bound = |v: i64| if v == i64::MIN { None } else { Some(v) };
    items
        .iter()
        .enumerate()
        .map(|(i, item)| {
            Ok(match item.kind {
                TAPER_INDEX_INT => IndexItem::Int(item.start),
                TAPER_INDEX_SLICE => IndexItem::Slice(bound(item.start), bound(item.stop), item.step),
                TAPER_INDEX_NEWAXIS => IndexItem::NewAxis,
                TAPER_INDEX_ELLIPSIS => IndexItem::Ellipsis,
                TAPER_INDEX_TENSOR => IndexItem::Tensor(c.tensor(1, &format!("items[{i}].tensor"), item.tensor)?),
                TAPER_INDEX_BOOL => IndexItem::Bool(item.start != 0),
                kind => {
                    let what = format!("invalid kind {kind}; valid are 0 (int) to 5 (bool), see TAPER_INDEX_INT");
                    return Err(c.invalid(ErrorKind::Value, 1, &format!("items[{i}]"), what));
                }
            })
        })
        .collect()
}

/// `t[items]`: a view for integers, slices, new axes and ellipses, a copy when tensors index. Borrows t and the items'
/// tensors; the result is owned by the caller. An integer out of range is TAPER_ERROR_INDEX. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_tensor_index(
    t: *mut taper_tensor,
    items: *const taper_index_item,
    items_len: usize,
    out: *mut *mut taper_tensor,
) -> *mut taper_error {
    guard("tensor_index", |c| {
        let out = c.out(2, "out", out)?;
        out.set(ops::index_items(&c.tensor(0, "t", t)?, &self::items(c, items, items_len)?)?)
    })
}

/// `t[items] = value`: value is broadcast and cast; recorded by autograd. Borrows all. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_tensor_index_put(
    t: *mut taper_tensor,
    items: *const taper_index_item,
    items_len: usize,
    value: *mut taper_tensor,
) -> *mut taper_error {
    guard("tensor_index_put", |c| {
        let t = c.tensor(0, "t", t)?;
        let items = self::items(c, items, items_len)?;
        ops::index_items_put(&t, &items, &c.tensor(2, "value", value)?)
    })
}

/// `t[items] = number`. Borrows t. Since 0.1.
#[no_mangle]
#[must_use]
pub unsafe extern "C" fn taper_tensor_index_fill(
    t: *mut taper_tensor,
    items: *const taper_index_item,
    items_len: usize,
    value: taper_scalar,
) -> *mut taper_error {
    guard("tensor_index_fill", |c| {
        let t = c.tensor(0, "t", t)?;
        let items = self::items(c, items, items_len)?;
        ops::index_items_fill(&t, &items, c.scalar(2, "value", value)?)
    })
}
