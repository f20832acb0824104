//! What `carom serve` is told about counting clicks.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use super::open::MIB;
use super::serve::{MAX_CACHE_MIB, OutOfRange};
use crate::clicks::{ClicksConfig, Keep, RollupsConfig, TrustedProxies, TrustedProxiesError, VisitConfig};

/// What is said about counting clicks.
#[derive(Args)]
#[command(next_help_heading = "Clicks")]
pub(super) struct ClickArguments {
    /// What is kept of clicks
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    clicks: KeepArgument,
    /// Keep only counts of who asks not to be tracked, by `DNT: 1` or `Sec-GPC: 1`
    #[arg(long)]
    honor_opt_out: bool,
    /// Lists of bots and previews by their User-Agent, instead of those that carom brings; read again when it changes
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    user_agents: Option<PathBuf>,
    /// Database of countries by address, in MaxMind's format (.mmdb); without it countries are unknown
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    countries: Option<PathBuf>,
    /// Addresses and networks, with commas between, of proxies whose X-Forwarded-For is believed
    #[arg(long, value_name = "LIST", value_parser = trusted_proxies, default_value = "", hide_default_value = true)]
    trusted_proxies: TrustedProxies,
    /// Memory for clicks that are not in the store yet, in MiB
    #[arg(long, value_name = "N", default_value_t = 192)]
    clicks_memory_mib: u64,
    /// How many days counts are kept by the minute; after that by the quarter of an hour
    #[arg(long, value_name = "DAYS", default_value_t = 2)]
    keep_minutes: u16,
    /// How many days counts are kept by the quarter of an hour; after that by the day
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    keep_quarters: u16,
    /// How many days counts are kept by the day; after that by the month
    #[arg(long, value_name = "DAYS", default_value_t = 400)]
    keep_days: u16,
    /// How many months clicks are kept at all
    #[arg(long, value_name = "MONTHS", default_value_t = 60)]
    keep_months: u16,
}

/// Longest that something is kept, in days or months: as long as there are days with a number.
const MOST_KEPT: u16 = 20_000;

impl ClickArguments {
    /// Refuses numbers that make no sense.
    pub(super) fn check(self, dir: PathBuf) -> Result<ClicksConfig, OutOfRange> {
        let within = |argument, value: u64, most: u64| match value {
            value if (1..=most).contains(&value) => Ok(value),
            value => Err(OutOfRange { argument, value, least: 1, most }),
        };
        let kept = |argument, value: u16| within(argument, u64::from(value), u64::from(MOST_KEPT)).map(|_| value);
        let memory_mib = within("--clicks-memory-mib", self.clicks_memory_mib, MAX_CACHE_MIB)?;
        Ok(ClicksConfig {
            visits: VisitConfig {
                keep: self.clicks.into(),
                user_agents: self.user_agents,
                countries: self.countries,
                proxies: self.trusted_proxies,
                honors_opt_out: self.honor_opt_out,
            },
            rollups: RollupsConfig {
                memory_bytes: usize::try_from(memory_mib * MIB).unwrap_or(usize::MAX),
                minutes_days: kept("--keep-minutes", self.keep_minutes)?,
                quarters_days: kept("--keep-quarters", self.keep_quarters)?,
                days_days: kept("--keep-days", self.keep_days)?,
                months: kept("--keep-months", self.keep_months)?,
                ..RollupsConfig::new(dir.clone())
            },
            ..ClicksConfig::new(dir)
        })
    }
}

fn trusted_proxies(text: &str) -> Result<TrustedProxies, TrustedProxiesError> {
    if text.is_empty() { Ok(TrustedProxies::default()) } else { TrustedProxies::parse(text) }
}

/// What is kept of clicks.
#[derive(Clone, Copy, Default, ValueEnum)]
enum KeepArgument {
    /// Exact counts, details of a sample, and how many visitors
    #[default]
    Details,
    /// Exact counts only
    Counts,
    /// Nothing: clicks are not counted
    None,
}

impl From<KeepArgument> for Keep {
    fn from(keep: KeepArgument) -> Self {
        match keep {
            KeepArgument::Details => Keep::Details,
            KeepArgument::Counts => Keep::Counts,
            KeepArgument::None => Keep::Nothing,
        }
    }
}
