//! The gate: one statement, of those that only read the catalogue, small enough to plan.

use std::ops::ControlFlow;

use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{
    Expr, Function, Query, Select, SetExpr, Statement as Sql, TableFactor, Visit, Visitor,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::error::Error;

/// Longest statement, in bytes.
pub const SQL_BYTES_MAX: usize = 64 * 1024;
/// Most operators, set operations and joins of a statement: each may be one more level of the plan, and so of the stack.
pub const SQL_OPERATORS_MAX: usize = 200;
/// Deepest nesting the parser follows.
const DEPTH_MAX: usize = 40;

/// Functions whose result has a size that the statement names, outside of the memory limit.
pub(crate) const UNBOUNDED_FUNCTIONS: [&str; 4] = ["repeat", "lpad", "rpad", "array_repeat"];

/// What passed the gate.
#[derive(Debug)]
pub(crate) struct Passed {
    pub(crate) statement: Statement,
    /// Whether it is a query proper, so that a limit can be put on top of its plan.
    pub(crate) is_query: bool,
}

/// Parses a statement and refuses all that do more than read.
pub(crate) fn check(sql: &str) -> Result<Passed, Error> {
    if SQL_BYTES_MAX < sql.len() {
        return Err(Error::not_allowed(format!("a statement of more than {SQL_BYTES_MAX} bytes")));
    }
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize().map_err(|error| Error::BadSql {
        message: error.message,
        line: Some(error.location.line),
        column: Some(error.location.column),
    })?;
    let n_operators = tokens.iter().filter(|token| is_operator(token)).count();
    if SQL_OPERATORS_MAX < n_operators {
        return Err(Error::not_allowed(format!("more than {SQL_OPERATORS_MAX} operators and joins ({n_operators})")));
    }
    let mut parser = DFParserBuilder::new(sql).with_recursion_limit(DEPTH_MAX).build()?;
    let mut statements = parser.parse_statements()?;
    let statement = match (statements.pop_front(), statements.pop_front()) {
        (Some(statement), None) => statement,
        (None, _) => return Err(Error::bad_sql("no statement")),
        (Some(_), Some(_)) => return Err(Error::not_allowed("more than one statement")),
    };
    let is_query = allow(&statement)?;
    Ok(Passed { statement, is_query })
}

fn is_operator(token: &Token) -> bool {
    match token {
        Token::Word(word) => matches!(
            word.keyword,
            Keyword::AND
                | Keyword::OR
                | Keyword::XOR
                | Keyword::NOT
                | Keyword::IS
                | Keyword::IN
                | Keyword::BETWEEN
                | Keyword::LIKE
                | Keyword::ILIKE
                | Keyword::SIMILAR
                | Keyword::RLIKE
                | Keyword::REGEXP
                | Keyword::DIV
                | Keyword::UNION
                | Keyword::INTERSECT
                | Keyword::EXCEPT
                | Keyword::MINUS
                | Keyword::JOIN
                | Keyword::AT
                | Keyword::COLLATE
                | Keyword::APPLY
                | Keyword::PIVOT
                | Keyword::UNPIVOT
                | Keyword::FROM
                | Keyword::OVERLAPS
        ),
        Token::EOF | Token::Comma | Token::Whitespace(_) | Token::LParen | Token::RParen | Token::Period => false,
        Token::Number(..) | Token::Placeholder(_) | Token::SingleQuotedString(_) | Token::SemiColon => false,
        _ => true,
    }
}

/// Whether the statement is a query; an error if it is nothing allowed.
fn allow(statement: &Statement) -> Result<bool, Error> {
    match statement {
        Statement::Statement(sql) => allow_sql(sql),
        Statement::Explain(explain) => allow(&explain.statement).and_then(|is_query| match is_query {
            true => Ok(false),
            false => Err(Error::not_allowed("EXPLAIN of anything but a query")),
        }),
        Statement::CreateExternalTable(_) => Err(Error::not_allowed("CREATE EXTERNAL TABLE")),
        Statement::CopyTo(_) => Err(Error::not_allowed("COPY")),
        Statement::Reset(_) => Err(Error::not_allowed("RESET")),
    }
}

fn allow_sql(sql: &Sql) -> Result<bool, Error> {
    match sql {
        Sql::Query(query) => match query.visit(&mut Reads) {
            ControlFlow::Continue(()) => Ok(true),
            ControlFlow::Break(what) => Err(Error::not_allowed(what)),
        },
        Sql::Explain { statement, .. } => match allow_sql(statement)? {
            true => Ok(false),
            false => Err(Error::not_allowed("EXPLAIN of anything but a query")),
        },
        Sql::ShowTables { .. } | Sql::ShowColumns { .. } | Sql::ExplainTable { .. } => Ok(false),
        other => {
            let text = other.to_string();
            let verb: Vec<&str> = text.split_whitespace().take(2).collect();
            Err(Error::not_allowed(format!(
                "{}; only SELECT, WITH, VALUES, EXPLAIN, SHOW TABLES and DESCRIBE are",
                verb.join(" ")
            )))
        }
    }
}

/// Refuses what a query may hold besides reading.
struct Reads;

impl Visitor for Reads {
    type Break = String;

    fn pre_visit_statement(&mut self, statement: &Sql) -> ControlFlow<String> {
        match statement {
            Sql::Query(_) => ControlFlow::Continue(()),
            other => ControlFlow::Break(other.to_string().split_whitespace().take(2).collect::<Vec<_>>().join(" ")),
        }
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<String> {
        if !query.locks.is_empty() {
            return ControlFlow::Break("FOR UPDATE and FOR SHARE".into());
        }
        match *query.body {
            SetExpr::Insert(_) => ControlFlow::Break("INSERT".into()),
            SetExpr::Update(_) => ControlFlow::Break("UPDATE".into()),
            SetExpr::Delete(_) => ControlFlow::Break("DELETE".into()),
            SetExpr::Merge(_) => ControlFlow::Break("MERGE".into()),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<String> {
        match select.into {
            Some(_) => ControlFlow::Break("SELECT INTO".into()),
            None => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<String> {
        match factor {
            TableFactor::Table { name, args: Some(_), .. } => allow_table_function(&name.to_string()),
            TableFactor::Function { name, .. } => allow_table_function(&name.to_string()),
            TableFactor::TableFunction { expr, .. } => ControlFlow::Break(format!("table function {expr}")),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<String> {
        match expr {
            Expr::Function(Function { name, .. }) => {
                let name = name.to_string().to_lowercase();
                match UNBOUNDED_FUNCTIONS.contains(&name.trim_matches('"')) {
                    true => ControlFlow::Break(format!("function {name}, whose result has no bound")),
                    false => ControlFlow::Continue(()),
                }
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

fn allow_table_function(name: &str) -> ControlFlow<String> {
    match name.to_lowercase().as_str() {
        "generate_series" | "range" | "unnest" => ControlFlow::Continue(()),
        _ => ControlFlow::Break(format!("table function {name}")),
    }
}
