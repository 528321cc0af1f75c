//! Indexing: `t[...]` and `t[...] = value`.

use super::convert::Call;
use super::types::*;
use crate::base::error::{ErrorKind, Result};
use crate::ops::{self, IndexItem};
use crate::{Scalar, Tensor};

fn items(c: &Call, items: &[taper_index_item]) -> Result<Vec<IndexItem>> {
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

/// `taper_tensor_index`.
pub fn tensor_index(c: &Call, t: &Tensor, items: &[taper_index_item]) -> Result<Tensor> {
    ops::index_items(t, &self::items(c, items)?)
}

/// `taper_tensor_index_put`.
pub fn tensor_index_put(c: &Call, t: &Tensor, items: &[taper_index_item], value: &Tensor) -> Result<()> {
    let items = self::items(c, items)?;
    ops::index_items_put(t, &items, value)
}

/// `taper_tensor_index_fill`.
pub fn tensor_index_fill(c: &Call, t: &Tensor, items: &[taper_index_item], value: Scalar) -> Result<()> {
    let items = self::items(c, items)?;
    ops::index_items_fill(t, &items, value)
}
