//! Keyset pagination: a page of a list that is ordered by a key.

use sea_orm::{EntityTrait, Order, QueryFilter, QueryOrder, QuerySelect, Select, sea_query::SimpleExpr};

/// The requested page. `P` is the cursor type of the list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Window<P> {
    /// Only rows after this cursor.
    pub after: Option<P>,
    /// Only rows before this cursor.
    pub before: Option<P>,
    /// The maximum number of rows.
    pub limit: u32,
    /// Whether rows are counted from the end of the list instead of its beginning. They are returned in the list's
    /// order in both cases.
    pub from_end: bool,
}

/// A page of rows, in the list's order.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Whether there are rows before the first one.
    pub has_previous: bool,
    /// Whether there are rows after the last one.
    pub has_next: bool,
}

impl<P> Window<P> {
    /// Restricts a query to this window and orders it by `columns`, descending if `descending`. `compare` is the
    /// condition that a row's key is greater (or smaller) than a cursor.
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

    /// Makes a page of the rows that the query returned.
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
