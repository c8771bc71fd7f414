//! Long tasks, none of which may end: if one does, by a return or a panic, the process ends, because an operator that has lost a part
//! looks healthy and is not.

use std::future::Future;
use tokio::task::JoinSet;

/// The tasks of the process.
#[derive(Default)]
pub struct Tasks {
    set: JoinSet<&'static str>,
}

impl Tasks {
    /// Starts `task`, which is expected to run until the process ends.
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.set.spawn(async move {
            task.await;
            name
        });
    }

    /// Waits for the first task that ends, and says which.
    pub async fn first_end(&mut self) -> String {
        match self.set.join_next().await {
            Some(Ok(name)) => format!("{name} ended"),
            Some(Err(error)) => format!("a task died: {error}"),
            None => "there is no task".to_owned(),
        }
    }

    /// Stops all of them.
    pub async fn stop(&mut self) {
        self.set.shutdown().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_returns_is_told_by_name() {
        let mut tasks = Tasks::default();
        tasks.spawn("for ever", std::future::pending());
        tasks.spawn("informer Service", async {});
        assert_eq!(tasks.first_end().await, "informer Service ended");
    }

    #[tokio::test]
    async fn a_task_that_panics_is_told() {
        let mut tasks = Tasks::default();
        tasks.spawn("for ever", std::future::pending());
        tasks.spawn("x", async { panic!("broken invariant") });
        assert!(tasks.first_end().await.contains("panic"));
    }
}
