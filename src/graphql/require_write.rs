//! The check that a request may run mutations. It is made here only.

use std::borrow::Cow;

use async_graphql::parser::types::Field;
use async_graphql::registry::Registry;
use async_graphql::resolver_utils::{ContainerType, resolve_container_serial};
use async_graphql::{Context, ContextSelectionSet, ObjectType, OutputType, Positioned, ServerResult, Value};

use crate::graphql::context::ContextExt as _;

/// An object whose fields are all FORBIDDEN to a personal access token without the scope WRITE.
#[derive(Default)]
pub struct RequireWrite<T>(T);

impl<T: ObjectType> ContainerType for RequireWrite<T> {
    async fn resolve_field(&self, ctx: &Context<'_>) -> ServerResult<Option<Value>> {
        let refused = |cause| ctx.set_error_path(async_graphql::Error::from(cause).into_server_error(ctx.item.pos));
        ctx.requester().may_write().map_err(refused)?;
        self.0.resolve_field(ctx).await
    }
}

impl<T: ObjectType> OutputType for RequireWrite<T> {
    fn type_name() -> Cow<'static, str> {
        T::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        T::create_type_info(registry)
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, _field: &Positioned<Field>) -> ServerResult<Value> {
        resolve_container_serial(ctx, self).await
    }
}

impl<T: ObjectType> ObjectType for RequireWrite<T> {}
