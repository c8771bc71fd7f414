//! The Instance controller: one pass in five steps.

mod found;
mod validate;

use super::Caches;
use crate::crd::Instance;
use crate::shared::backoff::Failures;
use crate::shared::cache::Seen;
use crate::shared::context::Context;
use crate::shared::controller::{Again, Failure, Reconcile};
use crate::shared::guarded::Guarded;
use crate::shared::names::ANNOTATION_TRACEPARENT;
use std::sync::Arc;

/// See the module.
pub struct Controller {
    context: Arc<Context>,
    caches: Arc<Caches>,
    failures: Arc<Failures>,
}

impl Controller {
    /// Works with what it is given.
    pub fn new(context: Arc<Context>, caches: Arc<Caches>, failures: Arc<Failures>) -> Self {
        Self {
            context,
            caches,
            failures,
        }
    }
}

impl Reconcile for Controller {
    type View = Guarded<Instance>;
    const NAME: &'static str = "instance";

    async fn reconcile(&self, seen: Arc<Seen<Self::View>>) -> Result<Again, Failure> {
        let _ = (&self.context, &self.caches, &self.failures, &seen);
        Ok(Again::Someday)
    }

    fn traceparent(seen: &Seen<Self::View>) -> Option<String> {
        seen.view
            .meta()
            .annotations
            .as_ref()?
            .get(ANNOTATION_TRACEPARENT)
            .cloned()
    }
}
