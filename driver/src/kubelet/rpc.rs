//! The part of a gRPC service that a code generator would write: from a path to a method.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use prost::Message;
use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::{Service, tokio_stream::Stream},
    server::{Grpc, NamedService, ServerStreamingService, UnaryService},
};
use tonic_prost::ProstCodec;

pub(super) type Answer = Pin<Box<dyn Future<Output = http::Response<Body>> + Send>>;
type HttpRequest = http::Request<Body>;

/// The methods of one gRPC service.
pub(super) trait Methods: Clone + Send + Sync + 'static {
    /// Full name of the service, the first part of the path of its methods.
    const SERVICE: &'static str;

    /// Answers a call, or none for a method that does not exist.
    fn call(&self, method: &str, request: HttpRequest) -> Option<Answer>;
}

/// Makes methods a service that tonic can route to.
#[derive(Clone)]
pub(super) struct Rpc<M>(pub(super) M);

impl<M: Methods> NamedService for Rpc<M> {
    const NAME: &'static str = M::SERVICE;
}

impl<M: Methods> Service<HttpRequest> for Rpc<M> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequest) -> Self::Future {
        let path = request.uri().path().to_owned();
        let method = path.strip_prefix('/').and_then(|path| path.strip_prefix(M::SERVICE)?.strip_prefix('/'));
        match method.and_then(|method| self.0.call(method, request)) {
            Some(answer) => Box::pin(async { Ok(answer.await) }),
            None => Box::pin(async { Ok(Status::unimplemented("").into_http()) }),
        }
    }
}

struct Handler<F>(F);

impl<F, M, R, A> UnaryService<M> for Handler<F>
where
    F: FnMut(Request<M>) -> A,
    A: Future<Output = Result<R, Status>> + Send + 'static,
{
    type Response = R;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, Status>> + Send>>;

    fn call(&mut self, request: Request<M>) -> Self::Future {
        let answer = (self.0)(request);
        Box::pin(async { answer.await.map(Response::new) })
    }
}

/// One message in, one message out.
pub(super) fn unary<M, R, F, A>(request: HttpRequest, handler: F) -> Answer
where
    M: Message + Default + Send + 'static,
    R: Message + Default + Send + 'static,
    F: FnMut(Request<M>) -> A + Send + 'static,
    A: Future<Output = Result<R, Status>> + Send + 'static,
{
    Box::pin(async move { Grpc::new(ProstCodec::<R, M>::default()).unary(Handler(handler), request).await })
}

struct StreamHandler<F>(F);

impl<F, M, R, S> ServerStreamingService<M> for StreamHandler<F>
where
    F: FnMut(M) -> S,
    S: Stream<Item = Result<R, Status>> + Send + 'static,
{
    type Response = R;
    type ResponseStream = S;
    type Future = std::future::Ready<Result<Response<S>, Status>>;

    fn call(&mut self, request: Request<M>) -> Self::Future {
        std::future::ready(Ok(Response::new((self.0)(request.into_inner()))))
    }
}

/// One message in, a stream of messages out.
pub(super) fn streaming<M, R, F, S>(request: HttpRequest, handler: F) -> Answer
where
    M: Message + Default + Send + 'static,
    R: Message + Default + Send + 'static,
    F: FnMut(M) -> S + Send + 'static,
    S: Stream<Item = Result<R, Status>> + Send + 'static,
{
    Box::pin(async move {
        let handler: StreamHandler<F> = StreamHandler(handler);
        Grpc::new(ProstCodec::<R, M>::default()).server_streaming(handler, request).await
    })
}
