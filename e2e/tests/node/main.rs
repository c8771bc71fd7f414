//! Tests on the node tier: containers really run. A claim about the application or the database counts when it was seen here.

mod adoption;
mod backup;
mod board;
mod bucket;
mod changes;
mod database;
mod database_mode;
mod disaster;
mod images;
mod installation;
mod instance;
mod outside;
mod replicas;
mod restore;
mod serving;
mod variables;
