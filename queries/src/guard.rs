//! The gate: one statement, of those that only read the catalogue, small enough to plan.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, Ident, ObjectName, Query, Select, SelectItem, SetExpr, Statement as Sql, TableFactor, Visit,
    Visitor,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::error::Error;
use crate::functions;

/// Longest statement, in bytes.
pub const SQL_BYTES_MAX: usize = 64 * 1024;
/// Most operators, set operations and joins of a statement: each may be one more level of the plan, and so of the stack.
pub const SQL_OPERATORS_MAX: usize = 200;
/// Deepest nesting the parser follows.
const DEPTH_MAX: usize = 40;
/// Most tables of a statement, those of a WITH counted each time it is named.
const TABLES_MAX: usize = 64;
/// Most expressions and columns of a statement, counted in the same way.
const EXPRESSIONS_MAX: usize = 6_000;
/// What `*` counts as.
const WILDCARD: usize = 60;
/// Most columns of CUBE, ROLLUP and GROUPING SETS.
const GROUPING_MAX: usize = 8;
/// Most groupings they make together.
const GROUPINGS_MAX: usize = 1 << GROUPING_MAX;

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
        Sql::Query(query) => match query.visit(&mut Reads::default()) {
            ControlFlow::Continue(()) => Ok(true),
            ControlFlow::Break(error) => Err(error),
        },
        Sql::Explain { statement, .. } => match allow_sql(statement)? {
            true => Ok(false),
            false => Err(Error::not_allowed("EXPLAIN of anything but a query")),
        },
        Sql::ShowTables { .. } | Sql::ShowColumns { .. } | Sql::ExplainTable { .. } => Ok(false),
        other => Err(Error::not_allowed(format!(
            "{}; only SELECT, WITH, VALUES, EXPLAIN, SHOW TABLES and DESCRIBE are",
            verb(other)
        ))),
    }
}

fn verb(statement: &Sql) -> String {
    statement.to_string().split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

/// How large a query is.
#[derive(Clone, Copy, Default)]
struct Size {
    tables: usize,
    expressions: usize,
}

/// Refuses what a query may hold besides reading, and what is too large to plan.
#[derive(Default)]
struct Reads {
    /// The queries around this place, outermost first.
    sizes: Vec<Size>,
    /// The bodies of a WITH, by address, with their names.
    bodies: HashMap<usize, String>,
    /// What naming one of them means.
    named: HashMap<String, Size>,
}

fn refuse(what: impl Into<String>) -> ControlFlow<Error> {
    ControlFlow::Break(Error::not_allowed(what))
}

fn address(query: &Query) -> usize {
    std::ptr::from_ref(query) as usize
}

impl Reads {
    fn count(&mut self, size: Size) -> ControlFlow<Error> {
        let Some(here) = self.sizes.last_mut() else { return ControlFlow::Continue(()) };
        here.tables = here.tables.saturating_add(size.tables);
        here.expressions = here.expressions.saturating_add(size.expressions);
        if TABLES_MAX < here.tables {
            return refuse(format!("more than {TABLES_MAX} tables, those of a WITH counted each time it is named"));
        }
        if EXPRESSIONS_MAX < here.expressions {
            return refuse(format!("more than {EXPRESSIONS_MAX} expressions and columns"));
        }
        ControlFlow::Continue(())
    }
}

impl Visitor for Reads {
    type Break = Error;

    fn pre_visit_statement(&mut self, statement: &Sql) -> ControlFlow<Error> {
        match statement {
            Sql::Query(_) => ControlFlow::Continue(()),
            other => refuse(verb(other)),
        }
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        if !query.locks.is_empty() {
            return refuse("FOR UPDATE and FOR SHARE");
        }
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.bodies.insert(address(&cte.query), cte.alias.name.value.to_lowercase());
        }
        self.sizes.push(Size::default());
        match *query.body {
            SetExpr::Insert(_) => refuse("INSERT"),
            SetExpr::Update(_) => refuse("UPDATE"),
            SetExpr::Delete(_) => refuse("DELETE"),
            SetExpr::Merge(_) => refuse("MERGE"),
            _ => ControlFlow::Continue(()),
        }
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<Error> {
        let size = self.sizes.pop().unwrap_or_default();
        match self.bodies.remove(&address(query)) {
            Some(name) => {
                // Of two with one name the larger counts.
                let known = self.named.entry(name).or_default();
                known.tables = known.tables.max(size.tables);
                known.expressions = known.expressions.max(size.expressions);
                ControlFlow::Continue(())
            }
            None => self.count(size),
        }
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Error> {
        if select.into.is_some() {
            return refuse("SELECT INTO");
        }
        let is_wild = |item: &&SelectItem| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..));
        let n_wild = select.projection.iter().filter(is_wild).count();
        self.count(Size { tables: 0, expressions: select.projection.len() + n_wild * WILDCARD })?;
        allow_groupings(&select.group_by)
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Error> {
        let function = match factor {
            TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } => Some(name),
            TableFactor::TableFunction { expr, .. } => return refuse(format!("table function {expr}")),
            _ => None,
        };
        if let Some(Err(error)) = function.map(|name| functions::allow_table(&name.to_string())) {
            return ControlFlow::Break(error);
        }
        match factor {
            TableFactor::Table { name, .. } => {
                let plain = last(name).filter(|_| name.0.len() == 1).map(|ident| ident.value.to_lowercase());
                let size = plain.and_then(|name| self.named.get(&name)).copied().unwrap_or_default();
                self.count(Size { tables: size.tables.max(1), ..size })
            }
            _ => self.count(Size { tables: 1, expressions: 1 }),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Error> {
        match expr {
            Expr::Value(_) => ControlFlow::Continue(()),
            Expr::Function(function) => {
                if let Some(ident) = last(&function.name) {
                    let name =
                        if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() };
                    let start = ident.span.start;
                    if let Err(error) = functions::allow(&name, (start.line, start.column)) {
                        return ControlFlow::Break(error);
                    }
                }
                self.count(Size { tables: 0, expressions: 1 })
            }
            Expr::Cube(sets) | Expr::Rollup(sets) | Expr::GroupingSets(sets) => {
                let n_columns = match expr {
                    Expr::GroupingSets(_) => sets.iter().map(Vec::len).max().unwrap_or(0),
                    _ => sets.iter().map(Vec::len).sum(),
                };
                match GROUPING_MAX < n_columns {
                    true => refuse(format!("CUBE, ROLLUP and GROUPING SETS of more than {GROUPING_MAX} columns")),
                    false => ControlFlow::Continue(()),
                }
            }
            _ => self.count(Size { tables: 0, expressions: 1 }),
        }
    }
}

fn last(name: &ObjectName) -> Option<&Ident> {
    name.0.last().and_then(|part| part.as_ident())
}

/// Each grouping is a pass over the rows, and CUBE makes two to the power of its columns.
fn allow_groupings(group_by: &GroupByExpr) -> ControlFlow<Error> {
    let (expressions, is_modified) = match group_by {
        GroupByExpr::Expressions(expressions, modifiers) => (expressions.as_slice(), !modifiers.is_empty()),
        GroupByExpr::All(modifiers) => (&[][..], !modifiers.is_empty()),
    };
    let groupings = |expr: &Expr| match expr {
        Expr::Cube(sets) => 1_usize.checked_shl(sets.len().min(63) as u32).unwrap_or(usize::MAX),
        Expr::Rollup(sets) => sets.len() + 1,
        Expr::GroupingSets(sets) => sets.len(),
        _ => 1,
    };
    let n = expressions.iter().map(groupings).fold(1_usize, usize::saturating_mul);
    if GROUPINGS_MAX < n || (is_modified && GROUPING_MAX < expressions.len()) {
        return refuse(format!("more than {GROUPINGS_MAX} groupings by CUBE, ROLLUP and GROUPING SETS"));
    }
    ControlFlow::Continue(())
}
