//! Certificates of a vault over real stores: what they show, that they hold with the log's key alone, that crashes neither lose
//! nor double them. Every test runs over SQLite and over PostgreSQL.

mod among;
pub mod arranged;
mod between;
mod crashes;
mod reopened;
mod shown;
pub mod support;
mod together;
mod waiting;

/// Makes a test of each function, over both databases.
macro_rules! over_both {
    ($($name:ident)*) => {
        $(
            mod $name {
                use crate::certificates::support::Base;

                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn over_sqlite() {
                    super::check::$name(Base::sqlite()).await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn over_postgres() {
                    super::check::$name(Base::postgres().await).await;
                }
            }
        )*
    };
}
pub(crate) use over_both;
