//! `orderwatch explain`: why an order stands where it stands, for whoever answers a customer on the phone.
//!
//! Reads the inputs as a replay does (`gather`), follows the facts of one order with the graph's own machine
//! (`ledger`), and says what came of them (`report`), as text (`prose`) or as JSON. Invariant: it decides nothing by
//! itself, so it agrees with the files of a replay of the same inputs and settings.

mod answer;
pub mod gather;
pub mod ledger;
mod naming;
pub mod promise;
mod prose;
pub mod report;

use std::io::Write;
use std::rc::Rc;

use dataflows::model::{OrderId, Text};

use crate::cli::{OutputFormat, ReplayOptions};
use crate::config::JobConfig;
use crate::console::{Progress, ProgressNow, Style, print};
use crate::error::{JobError, JobResult};
use crate::replay;
use gather::{Gathered, Story, gather};
use report::Reporter;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The shop's id of the order.
    pub order_id: &'a str,
    /// Its tenant, where named.
    pub tenant: Option<&'a str>,
}

/// Answers a question on standard output.
pub fn run(
    config: &JobConfig,
    options: &ReplayOptions,
    question: Question<'_>,
    output: OutputFormat,
    style: Style,
) -> JobResult<()> {
    let job = replay::prepare(config, options)?;
    let mut progress = Progress::start(!options.no_console);
    let gathered = gather(&job, &[Text::new(question.order_id.trim())], |records_read| {
        progress.update(&ProgressNow { records_read, ..ProgressNow::default() });
    });
    progress.finish();
    let gathered = gathered?;
    let end = gathered.end;
    let (order, story) = chosen(gathered, question)?;
    let law = Rc::new(job.law.clone());
    let report = Reporter { law: &law, inputs: &job.inputs, end }.report(&order, story);
    let text = match output {
        OutputFormat::Text => prose::of(&report, style),
        OutputFormat::Json => serde_json::to_string_pretty(&report)
            .map(|text| text + "\n")
            .map_err(|error| JobError::job(format!("cannot write the report as JSON: {error}")))?,
    };
    print("report", |out| out.write_all(text.as_bytes()))
}

/// The one order that the question is about.
fn chosen(gathered: Gathered, question: Question<'_>) -> JobResult<(OrderId, Story)> {
    let Gathered { mut orders, nearest, .. } = gathered;
    let tenants: Vec<String> = orders.keys().map(|order| format!("`{}`", order.tenant)).collect();
    if let Some(tenant) = question.tenant {
        orders.retain(|order, _| order.tenant == Text::new(tenant));
    }
    if orders.len() > 1 {
        let what = format!("order `{}` exists for several tenants: {}", question.order_id, tenants.join(", "));
        return Err(JobError::configuration(what).remedy("name one of them with --tenant"));
    }
    orders.into_iter().next().ok_or_else(|| {
        let of_tenant = question.tenant.map_or_else(String::new, |tenant| format!(" of tenant `{tenant}`"));
        let error = JobError::job(format!("there is no order `{}`{of_tenant} in these inputs", question.order_id));
        let nearest: Vec<String> = nearest.iter().map(|order_id| format!("`{order_id}`")).collect();
        match (tenants.is_empty(), nearest.is_empty()) {
            (false, _) => error.remedy(format!("it exists for {}", tenants.join(", "))),
            (true, false) => error.remedy(format!("did you mean {}?", nearest.join(" or "))),
            (true, true) => error.remedy("check the id and --input; --from and --until leave orders out"),
        }
    })
}
