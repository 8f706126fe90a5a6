//! The functions a statement may call: those whose result is no larger than what they are given, and that reach
//! nothing outside. All others are not even registered.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use datafusion::common::Result;
use datafusion::execution::SessionStateDefaults;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::registry::FunctionRegistry;

use crate::error::Error;

/// Scalar functions, aggregates and window functions, aliases included.
const ALLOWED: &[&str] = &[
    // Choice and shape.
    "arrow_typeof",
    "coalesce",
    "get_field",
    "greatest",
    "ifnull",
    "least",
    "named_struct",
    "nullif",
    "nvl",
    "nvl2",
    "row",
    "struct",
    // Text.
    "ascii",
    "bit_length",
    "btrim",
    "char_length",
    "character_length",
    "chr",
    "concat",
    "concat_ws",
    "contains",
    "ends_with",
    "find_in_set",
    "initcap",
    "instr",
    "left",
    "length",
    "lower",
    "ltrim",
    "octet_length",
    "overlay",
    "position",
    "replace",
    "reverse",
    "right",
    "rtrim",
    "split_part",
    "starts_with",
    "strpos",
    "substr",
    "substr_index",
    "substring",
    "substring_index",
    "to_hex",
    "translate",
    "trim",
    "upper",
    "uuid",
    // Time.
    "current_date",
    "current_time",
    "current_timestamp",
    "date_bin",
    "date_format",
    "date_part",
    "date_trunc",
    "datepart",
    "datetrunc",
    "from_unixtime",
    "make_date",
    "make_time",
    "now",
    "to_char",
    "to_date",
    "to_local_time",
    "to_time",
    "to_timestamp",
    "to_timestamp_micros",
    "to_timestamp_millis",
    "to_timestamp_nanos",
    "to_timestamp_seconds",
    "to_unixtime",
    "today",
    // Numbers.
    "abs",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cbrt",
    "ceil",
    "cos",
    "cosh",
    "cot",
    "degrees",
    "exp",
    "factorial",
    "floor",
    "gcd",
    "isnan",
    "iszero",
    "lcm",
    "ln",
    "log",
    "log10",
    "log2",
    "nanvl",
    "pi",
    "pow",
    "power",
    "radians",
    "rand",
    "random",
    "round",
    "signum",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
    "trunc",
    // Aggregates of a fixed size.
    "any_value",
    "approx_distinct",
    "approx_median",
    "approx_percentile_cont",
    "approx_percentile_cont_with_weight",
    "avg",
    "bit_and",
    "bit_or",
    "bit_xor",
    "bool_and",
    "bool_or",
    "corr",
    "count",
    "covar",
    "covar_pop",
    "covar_samp",
    "first_value",
    "grouping",
    "last_value",
    "max",
    "mean",
    "median",
    "min",
    "nth_value",
    "percentile_cont",
    "quantile_cont",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "regr_intercept",
    "regr_r2",
    "regr_slope",
    "regr_sxx",
    "regr_sxy",
    "regr_syy",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "sum",
    "var",
    "var_pop",
    "var_population",
    "var_samp",
    "var_sample",
    // Windows.
    "cume_dist",
    "dense_rank",
    "lag",
    "lead",
    "ntile",
    "percent_rank",
    "rank",
    "row_number",
];

/// Table functions.
const ALLOWED_TABLES: &[&str] = &["generate_series", "range", "unnest"];

/// What DataFusion has, by all its names.
static KNOWN: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let mut names = BTreeSet::new();
    let mut add = |name: &str, aliases: &[String]| {
        names.insert(name.to_string());
        names.extend(aliases.iter().cloned());
    };
    for function in SessionStateDefaults::default_scalar_functions() {
        add(function.name(), function.aliases());
    }
    for function in SessionStateDefaults::default_aggregate_functions() {
        add(function.name(), function.aliases());
    }
    for function in SessionStateDefaults::default_window_functions() {
        add(function.name(), function.aliases());
    }
    names
});

/// Leaves only the allowed functions in a session.
pub(crate) fn restrict(state: &mut SessionState) -> Result<()> {
    for name in KNOWN.iter().filter(|name| !ALLOWED.contains(&name.as_str())) {
        state.deregister_udf(name)?;
        state.deregister_udaf(name)?;
        state.deregister_udwf(name)?;
    }
    let higher: Vec<String> = state.higher_order_functions().keys().cloned().collect();
    for name in higher {
        state.deregister_higher_order_function(&name)?;
    }
    Ok(())
}

/// Whether a function may be called; `place` is its line and column, from 1.
pub(crate) fn allow(name: &str, place: (u64, u64)) -> std::result::Result<(), Error> {
    if ALLOWED.contains(&name) {
        return Ok(());
    }
    if KNOWN.contains(name) {
        return Err(Error::not_allowed(format!("function {name}, whose result has no bound or which reaches outside")));
    }
    let near = ALLOWED.iter().map(|other| (strsim::damerau_levenshtein(name, other), other));
    let hint = match near.min() {
        Some((distance, other)) if distance <= 2 && distance < other.len() => format!(": did you mean {other}?"),
        _ => String::new(),
    };
    let message = format!("there is no function {name}{hint}");
    Err(Error::BadSql { message, line: Some(place.0), column: Some(place.1) })
}

/// Whether a table function may be called.
pub(crate) fn allow_table(name: &str) -> std::result::Result<(), Error> {
    match ALLOWED_TABLES.contains(&name.to_lowercase().as_str()) {
        true => Ok(()),
        false => Err(Error::not_allowed(format!("table function {name}; {} are", ALLOWED_TABLES.join(" and ")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allowed_exists() {
        let strange: Vec<_> = ALLOWED.iter().filter(|name| !KNOWN.contains(**name)).collect();
        assert!(strange.is_empty(), "{strange:?}");
        for name in ["repeat", "lpad", "rpad", "levenshtein", "array_agg", "string_agg", "arrow_cast"] {
            assert!(KNOWN.contains(name) && !ALLOWED.contains(&name), "{name}");
        }
    }

    #[test]
    fn nothing_else_is_registered() {
        let mut state = datafusion::execution::session_state::SessionStateBuilder::new_with_default_features().build();
        restrict(&mut state).unwrap();
        let names = state.scalar_functions().keys().chain(state.aggregate_functions().keys());
        let strange: Vec<_> =
            names.chain(state.window_functions().keys()).filter(|name| !ALLOWED.contains(&name.as_str())).collect();
        assert!(strange.is_empty(), "{strange:?}");
    }

    #[test]
    fn an_unknown_function_is_named_with_its_place_and_a_neighbour() {
        let error = allow("averge", (2, 8)).unwrap_err();
        assert!(matches!(&error, Error::BadSql { line: Some(2), column: Some(8), .. }));
        assert_eq!(error.to_string(), "there is no function averge");
        assert_eq!(allow("stdev", (1, 1)).unwrap_err().to_string(), "there is no function stdev: did you mean stddev?");
        assert!(matches!(allow("repeat", (1, 1)), Err(Error::NotAllowed { .. })));
    }
}
