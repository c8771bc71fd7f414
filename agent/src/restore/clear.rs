//! The statements around a dump: what takes away what is there, and what proves that everything came. Pure.

use std::fmt::Write as _;

use crate::database::quoted;
use crate::restore::manifest::Manifest;

/// How long somebody else may hold a table that is to go.
const LOCK_TIMEOUT: &str = "60s";

/// Begins the transaction and takes away what the dump brings: in `public` everything that belongs to no extension, of
/// the dump's other schemas everything. Schemas that the dump does not have stay.
pub fn begin<'a>(schemas: impl IntoIterator<Item = &'a str>) -> String {
    let mut schemas: Vec<&str> = schemas
        .into_iter()
        .chain(["drizzle"])
        .filter(|schema| *schema != "public")
        .collect();
    schemas.sort_unstable();
    schemas.dedup();
    let mut text = format!(
        "SET client_min_messages = warning;\nBEGIN;\nSET LOCAL statement_timeout = 0;\nSET LOCAL lock_timeout = '{LOCK_TIMEOUT}';\n"
    );
    for schema in schemas {
        text.push_str("DROP SCHEMA IF EXISTS ");
        text.push_str(&quoted(schema));
        text.push_str(" CASCADE;\n");
    }
    text.push_str(PUBLIC);
    text
}

/// Whether an object belongs to an extension.
macro_rules! of_extension {
    ($class:literal, $oid:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = '",
            $class,
            "'::regclass AND d.objid = ",
            $oid,
            " AND d.deptype = 'e')"
        )
    };
}

const PUBLIC: &str = concat!(
    "DO $paperclip$\nDECLARE item record;\nBEGIN\n",
    "FOR item IN SELECT c.relname, c.relkind FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace ",
    "AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND NOT ",
    of_extension!("pg_class", "c.oid"),
    "\n",
    "LOOP EXECUTE format('DROP %s IF EXISTS public.%I CASCADE', CASE item.relkind WHEN 'v' THEN 'VIEW' ",
    "WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE' WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END, item.relname); END LOOP;\n",
    "FOR item IN SELECT p.oid::regprocedure AS name FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace AND NOT ",
    of_extension!("pg_proc", "p.oid"),
    "\n",
    "LOOP EXECUTE format('DROP ROUTINE IF EXISTS %s CASCADE', item.name); END LOOP;\n",
    "FOR item IN SELECT t.typname FROM pg_type t WHERE t.typnamespace = 'public'::regnamespace AND t.typtype IN ('e', 'd', 'r', 'c') ",
    "AND (t.typrelid = 0 OR EXISTS (SELECT 1 FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c')) AND t.typelem = 0 AND NOT ",
    of_extension!("pg_type", "t.oid"),
    "\n",
    "LOOP EXECUTE format('DROP TYPE IF EXISTS public.%I CASCADE', item.typname); END LOOP;\n",
    "END\n$paperclip$;\n"
);

/// Proves the rows of each table, and ends the transaction. A difference ends it the other way.
pub fn commit(manifest: &Manifest) -> String {
    let mut body = String::from("DECLARE found bigint;\nBEGIN\n");
    for table in &manifest.database.tables {
        let Some((schema, name)) = table.table.split_once('.') else {
            continue;
        };
        let (place, rows) = (format!("{}.{}", quoted(schema), quoted(name)), table.rows);
        let _ = write!(
            body,
            "SELECT count(*) INTO found FROM {place};\nIF found <> {rows} THEN RAISE EXCEPTION {}, found; END IF;\n",
            literal(&format!(
                "PAPERCLIP rows of {}: the backup has {rows}, the database now %",
                table.table.replace('%', "%%")
            ))
        );
    }
    body.push_str("END\n");
    format!("\nDO {};\nCOMMIT;\n", literal(&body))
}

/// Text as PostgreSQL reads it, whatever stands in it.
fn literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if doubled.contains('\\') {
        format!("E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(tables: &[(&str, i64)]) -> Manifest {
        let tables: Vec<_> = tables
            .iter()
            .map(|(table, rows)| serde_json::json!({"table": table, "rows": rows}))
            .collect();
        let json =
            serde_json::json!({"v": 1, "begun": "", "database": {"tables": tables}, "parts": []});
        Manifest::parse(json.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn schemas_that_the_dump_does_not_have_stay() {
        let text = begin(["public", "drizzle", "x\"y"]);
        assert_eq!(text.matches("DROP SCHEMA").count(), 2);
        assert!(text.contains("DROP SCHEMA IF EXISTS \"drizzle\" CASCADE"));
        assert!(text.contains("DROP SCHEMA IF EXISTS \"x\"\"y\" CASCADE"));
        assert!(!text.contains("SCHEMA IF EXISTS \"public\""));
    }

    #[test]
    fn names_cannot_leave_their_quotes() {
        let text = commit(&manifest(&[("public.o'clock\\", 3)]));
        assert!(text.contains(r#"FROM "public"."o''clock\\";"#), "{text}");
        assert!(text.ends_with("COMMIT;\n"));
    }
}
