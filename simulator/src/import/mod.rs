//! Public traces turned into Kubernetes objects.
