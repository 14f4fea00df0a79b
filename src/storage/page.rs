//! A page of a list that is ordered by a key (keyset pagination): never an offset.

use sea_orm::{EntityTrait, Order, QueryFilter, QueryOrder, QuerySelect, Select, sea_query::SimpleExpr};

/// Which page is wanted. `P` is the place of a row in the list's order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Window<P> {
    /// Only what comes after this place.
    pub after: Option<P>,
    /// Only what comes before this place.
    pub before: Option<P>,
    /// At most so many.
    pub limit: u32,
    /// Counted from the end of the list; from its beginning otherwise. The rows are in the list's order either way.
    pub from_end: bool,
}

/// A page of rows in the list's order.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Whether rows stand before the first one.
    pub has_previous: bool,
    /// Whether rows stand after the last one.
    pub has_next: bool,
}

impl<P> Window<P> {
    /// Narrows a query to this window and orders it by `columns`, from great to small when `descending`. `compare` says that
    /// a row's key is greater (or smaller) than a place.
    pub(super) fn apply<E: EntityTrait>(
        &self,
        mut query: Select<E>,
        columns: &[E::Column],
        descending: bool,
        compare: impl Fn(&P, bool) -> SimpleExpr,
    ) -> Select<E> {
        if let Some(after) = &self.after {
            query = query.filter(compare(after, !descending));
        }
        if let Some(before) = &self.before {
            query = query.filter(compare(before, descending));
        }
        let order = if descending == self.from_end { Order::Asc } else { Order::Desc };
        for column in columns {
            query = query.order_by(*column, order.clone());
        }
        query.limit(u64::from(self.limit) + 1)
    }

    /// Makes a page of what the query gave.
    pub(super) fn page<T>(&self, mut rows: Vec<T>) -> Page<T> {
        let limit = self.limit as usize;
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        if self.from_end {
            rows.reverse();
            return Page { rows, has_previous: has_more, has_next: self.before.is_some() };
        }
        Page { rows, has_previous: self.after.is_some(), has_next: has_more }
    }
}
