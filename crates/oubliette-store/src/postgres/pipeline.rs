//! Several statements in one round trip.

use std::future::Future;
use std::pin::Pin;
use std::task::Poll;

/// Runs requests to one session at the same time, begun strictly in this order: what the driver sends when a request is first
/// polled goes out in the order of the list, without waiting for an answer in between. All answers are awaited.
pub async fn in_order<'a, T>(requests: Vec<Pin<Box<dyn Future<Output = T> + Send + 'a>>>) -> Vec<T> {
    let mut waiting: Vec<_> = requests.into_iter().map(Some).collect();
    let mut answers: Vec<Option<T>> = waiting.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        let mut open = false;
        for (request, answer) in waiting.iter_mut().zip(&mut answers) {
            let Some(running) = request else { continue };
            match running.as_mut().poll(context) {
                Poll::Ready(value) => {
                    *answer = Some(value);
                    *request = None;
                }
                Poll::Pending => open = true,
            }
        }
        if open { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    answers.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test]
    async fn requests_begin_in_order_and_answers_keep_it() {
        let begun = Mutex::new(Vec::new());
        let request = |number: usize| -> Pin<Box<dyn Future<Output = usize> + Send + '_>> {
            let begun = &begun;
            Box::pin(async move {
                begun.lock().unwrap().push(number);
                for _ in 0..(100 - number) {
                    tokio::task::yield_now().await;
                }
                number
            })
        };
        let answers = in_order((0..100).map(request).collect()).await;
        assert_eq!(answers, (0..100).collect::<Vec<_>>());
        assert_eq!(*begun.lock().unwrap(), answers);
    }
}
