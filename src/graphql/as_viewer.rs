//! Resolves a part of a response for a viewer other than the sender of the request.

use std::borrow::Cow;
use std::sync::Arc;

use async_graphql::parser::types::Field;
use async_graphql::registry::Registry;
use async_graphql::{ContextSelectionSet, Data, OutputType, Positioned, ServerResult, Value};

use crate::domain::{Requester, Viewer};
use crate::graphql::budget::Budget;
use crate::graphql::context::State;
use crate::graphql::execution::Caller;
use crate::graphql::loaders;
use crate::graphql::loads::Loads;

/// A value whose fields, at every depth, are resolved with this viewer as the requester and with separate loaders.
pub struct AsViewer<T> {
    viewer: Arc<Viewer>,
    value: T,
}

impl<T> AsViewer<T> {
    /// Wraps the value.
    pub fn new(viewer: Arc<Viewer>, value: T) -> Self {
        Self { viewer, value }
    }
}

impl<T: OutputType> OutputType for AsViewer<T> {
    fn type_name() -> Cow<'static, str> {
        T::type_name()
    }

    fn qualified_type_name() -> String {
        T::qualified_type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        T::create_type_info(registry)
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, field: &Positioned<Field>) -> ServerResult<Value> {
        let client = ctx.data_unchecked::<Caller>().client.clone();
        let caller = Caller { requester: Requester::Viewer(self.viewer.clone()), client };
        let state = ctx.data_unchecked::<State>().clone();
        let budget = ctx.data_unchecked::<Arc<Budget>>().clone();
        let loads = ctx.data_unchecked::<Loads>().clone();
        let mut data = Data::default();
        data.insert(loaders::make(state, caller.clone(), budget, loads));
        data.insert(caller);
        // `execute_data` takes precedence over the data of the request.
        let mut below = ctx.clone();
        below.execute_data = Some(&data);
        self.value.resolve(&below, field).await
    }
}
