//! How the operator is installed, as far as it can be seen without a cluster: charts, manifests, rights, image.

mod charts;
mod dockerfile;
mod rights;
