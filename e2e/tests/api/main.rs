//! Tests on the API tier: a real control plane whose node is played. What a running container would have to show is seen on the node
//! tier only.

mod admission;
mod adoption;
mod backup;
mod cluster;
mod corpus;
mod database;
mod database_mode;
mod defaults;
mod extensions;
mod fields;
mod given;
mod health;
mod install;
mod instance;
mod monitoring;
mod operator;
mod readme;
mod restore;
mod routes;
mod telemetry;
mod workloads;
