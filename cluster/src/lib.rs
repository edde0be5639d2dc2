//! Reads and writes the Kubernetes objects that Drayage needs.
