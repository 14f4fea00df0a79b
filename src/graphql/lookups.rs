//! The loaders of objects that are looked up by their ID only: `node` and `nodes`.

use std::collections::HashMap;

use async_graphql::dataloader::Loader;

use crate::domain::replies::parts::ToolCall;
use crate::domain::{Error, Result};
use crate::entity::ids::{AuditEntryId, PersonalAccessTokenId, PromptId, RoleId, SessionId, ToolCallId};
use crate::entity::{audit_entry, personal_access_token, prompt, role, session};
use crate::graphql::loaders::{ROW, Source};

impl Loader<SessionId> for Source {
    type Value = session::Model;
    type Error = Error;

    async fn load(&self, ids: &[SessionId]) -> Result<HashMap<SessionId, session::Model>> {
        let sessions = self.rows(self.state.accounts.own_sessions(self.statement()?, ids).await?)?;
        Ok(sessions.into_iter().map(|session| (session.id, session)).collect())
    }
}

impl Loader<PersonalAccessTokenId> for Source {
    type Value = personal_access_token::Model;
    type Error = Error;

    async fn load(
        &self,
        ids: &[PersonalAccessTokenId],
    ) -> Result<HashMap<PersonalAccessTokenId, personal_access_token::Model>> {
        let tokens = self.rows(self.state.accounts.tokens(self.statement()?, ids).await?)?;
        Ok(tokens.into_iter().map(|token| (token.id, token)).collect())
    }
}

impl Loader<RoleId> for Source {
    type Value = role::Model;
    type Error = Error;

    async fn load(&self, ids: &[RoleId]) -> Result<HashMap<RoleId, role::Model>> {
        let roles = self.rows(self.state.accounts.roles_by_ids(self.statement()?, ids).await?)?;
        Ok(roles.into_iter().map(|role| (role.id, role)).collect())
    }
}

impl Loader<PromptId> for Source {
    type Value = prompt::Model;
    type Error = Error;

    async fn load(&self, ids: &[PromptId]) -> Result<HashMap<PromptId, prompt::Model>> {
        let prompts = self.rows(self.state.prompts.find_all(self.statement()?, ids).await?)?;
        Ok(prompts.into_iter().map(|prompt| (prompt.id, prompt)).collect())
    }
}

impl Loader<AuditEntryId> for Source {
    type Value = audit_entry::Model;
    type Error = Error;

    async fn load(&self, ids: &[AuditEntryId]) -> Result<HashMap<AuditEntryId, audit_entry::Model>> {
        let entries = self.rows(self.state.audit.find_all(self.statement()?, ids).await?)?;
        Ok(entries.into_iter().map(|entry| (entry.id, entry)).collect())
    }
}

impl Loader<ToolCallId> for Source {
    type Value = ToolCall;
    type Error = Error;

    async fn load(&self, ids: &[ToolCallId]) -> Result<HashMap<ToolCallId, ToolCall>> {
        // The messages of the calls, and the calls.
        self.budget.statements(2)?;
        let calls = self.state.replies.calls(self.caller.requester.viewer()?, ids, self.budget.bytes_left()).await?;
        self.budget.bytes(calls.bytes + ROW * calls.calls.len())?;
        Ok(calls.calls.into_iter().map(|call| (call.call.id, call)).collect())
    }
}
