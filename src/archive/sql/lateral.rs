//! `FROM t CROSS JOIN UNNEST(t.resources) AS r(resource)`: a row for each element of a row's own list.
//!
//! The engine plans the right side as a subquery with references to the left one, and cannot run that. As it is nothing but
//! projections of the left side's columns, it is grafted onto the left side instead.

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::logical_expr::logical_plan::Join;
use datafusion::logical_expr::{Expr, JoinType, LogicalPlan, LogicalPlanBuilder};
use datafusion::optimizer::AnalyzerRule;

#[derive(Debug)]
pub struct Lateral;

impl AnalyzerRule for Lateral {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let grafted = plan.transform_up_with_subqueries(|plan| match plan {
            LogicalPlan::Join(join) => match unnested(&join)? {
                Some(plan) => Ok(Transformed::yes(plan)),
                None => Ok(Transformed::no(LogicalPlan::Join(join))),
            },
            other => other.recompute_schema().map(Transformed::yes),
        });
        grafted.map(|grafted| grafted.data)
    }

    fn name(&self) -> &str {
        "lateral_unnest"
    }
}

/// The same join without a reference from its right side to its left one.
fn unnested(join: &Join) -> Result<Option<LogicalPlan>> {
    let inner = match join.right.as_ref() {
        LogicalPlan::SubqueryAlias(alias) => alias.input.as_ref(),
        other => other,
    };
    let LogicalPlan::Subquery(inner) = inner else { return Ok(None) };
    if join.join_type != JoinType::Inner || !join.on.is_empty() {
        return Ok(None);
    }
    let LogicalPlan::Projection(top) = inner.subquery.as_ref() else { return Ok(None) };
    let Some(grafted) = graft(&top.input, &join.left)? else { return Ok(None) };
    let mut columns: Vec<Expr> = join.left.schema().columns().into_iter().map(Expr::Column).collect();
    // named as the join's right side is: the same name without its qualifier would be another one's
    for (expr, (qualifier, field)) in top.expr.iter().zip(join.right.schema().iter()) {
        columns.push(of_the_left(expr.clone())?.unalias().alias_qualified(qualifier.cloned(), field.name()));
    }
    let plan = LogicalPlanBuilder::from(grafted).project(columns)?;
    match &join.filter {
        Some(filter) => plan.filter(filter.clone())?.build().map(Some),
        None => plan.build().map(Some),
    }
}

/// Puts the left side's rows where the right side begins with none; only projections and unnesting may lie between.
fn graft(plan: &LogicalPlan, left: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    let grafted = match plan {
        LogicalPlan::EmptyRelation(_) => return Ok(Some(left.clone())),
        LogicalPlan::Projection(projection) => graft(&projection.input, left)?.map(|input| {
            let mut columns: Vec<Expr> = left.schema().columns().into_iter().map(Expr::Column).collect();
            for expr in &projection.expr {
                columns.push(of_the_left(expr.clone())?);
            }
            LogicalPlanBuilder::from(input).project(columns)
        }),
        LogicalPlan::Unnest(unnest) => graft(&unnest.input, left)?.map(|input| {
            LogicalPlanBuilder::from(input)
                .unnest_columns_with_options(unnest.exec_columns.clone(), unnest.options.clone())
        }),
        _ => None,
    };
    grafted.transpose()?.map(LogicalPlanBuilder::build).transpose()
}

fn of_the_left(expr: Expr) -> Result<Expr> {
    let expr = expr.transform(|expr| {
        Ok(match expr {
            Expr::OuterReferenceColumn(_, column) => Transformed::yes(Expr::Column(column)),
            other => Transformed::no(other),
        })
    });
    expr.map(|expr| expr.data)
}
