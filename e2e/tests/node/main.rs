//! Tests on the node tier: containers really run. A claim about the application or the database counts when it was seen here.

mod backup;
mod database;
mod images;
mod installation;
mod instance;
mod serving;
mod variables;
