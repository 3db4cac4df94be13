//! A thread with a runtime of its own, for media whose drivers are asynchronous.
//!
//! The forest's media block, and are called from threads of any kind, also from those of a runtime: there nothing may be
//! waited for by running another runtime. So the work is sent to a thread that has one, and the caller waits for an answer.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;

use tokio::sync::mpsc;

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The thread. Ends, and with it what still runs there, when this is dropped.
pub(crate) struct Worker {
    work: Option<mpsc::UnboundedSender<Work>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts it.
    pub(crate) fn start(name: &str) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (work, mut queue) = mpsc::unbounded_channel::<Work>();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            runtime.block_on(async {
                while let Some(work) = queue.recv().await {
                    tokio::spawn(work);
                }
            });
        })?;
        Ok(Self { work: Some(work), thread: Some(thread) })
    }

    /// Runs `work` there, beside what already runs, and waits for what it gives.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = io::Result<T>> + Send + 'static,
    ) -> io::Result<T> {
        let (answer, answered) = sync_channel(1);
        let work: Work = Box::pin(async move {
            // Nobody waits any more only when the caller's thread is gone.
            let _ = answer.send(work.await);
        });
        let ended = || io::Error::other("the medium's thread has ended");
        self.work.as_ref().ok_or_else(ended)?.send(work).map_err(|_| ended())?;
        answered.recv().map_err(|_| ended())?
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.work = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_runs_side_by_side_and_may_be_waited_for_inside_a_runtime() {
        let worker = Worker::start("test").unwrap();
        let (send, receive) = tokio::sync::oneshot::channel();
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| worker.run(async { receive.await.map_err(io::Error::other) }));
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime
                .block_on(async { worker.run(async move { send.send(7).map_err(|_| io::Error::other("gone")) }) })
                .unwrap();
            assert_eq!(waits.join().unwrap().unwrap(), 7);
        });
    }

    #[test]
    fn work_that_panics_is_an_error_and_the_thread_goes_on() {
        let worker = Worker::start("test").unwrap();
        assert!(worker.run::<()>(async { panic!("on purpose") }).is_err());
        assert_eq!(worker.run(async { Ok(1) }).unwrap(), 1);
    }
}
