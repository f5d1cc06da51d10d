//! Nights at which an operator looks, each as the objects that Kubernetes shows then.

mod cluster;
mod pods;
mod workloads;
