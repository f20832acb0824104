//! Clicks of months, through the whole pipeline in minutes.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::generate::{Generator, Plan};
use crate::pipeline::Pipeline;
use crate::process::{disk_bytes, peak_resident_bytes, resident_bytes};
use crate::table::{mib, millis, percent, thousands};
use crate::threads::{self, CpuTimes};
use crate::truth::Truth;
use crate::world::World;
use crate::{Load, check, queries};

/// Workers that hand over batches.
const WORKERS: usize = 2;

/// How often it is said how far it is.
const STAGES: u64 = 10;

/// Goals: time for each click; bytes on the disk for each day of a link.
const GOAL_US: f64 = 3.0;
const GOAL_BYTES: f64 = 40.0;

/// Loads, asks and compares. With `is_exact`, nothing is timed that is asked, and the pipeline is closed and opened again
/// between.
pub(crate) fn run(args: &Load, is_exact: bool) -> Result<()> {
    if args.dir.exists() {
        std::fs::remove_dir_all(&args.dir)?;
    }
    std::fs::create_dir_all(&args.dir)?;
    let now_s = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let world = World::new(args.links, args.people, args.tail);
    let plan = Plan::new(now_s, args.days, args.clicks, args.batch_minutes);
    let mut truth = Truth::new(&world, args.days as usize);
    println!(
        "## {} clicks on {} links by {} people in {} days\n",
        thousands(args.clicks),
        thousands(args.links),
        thousands(args.people),
        args.days
    );
    let loaded = load(args, &world, &plan, &mut truth)?;
    figures(args, &truth, &loaded);

    let started = Instant::now();
    let pipeline = Pipeline::open(&args.dir, WORKERS, args.memory_mib * 1024 * 1024)?;
    println!("\nOpened again in {} ms.", millis(started.elapsed()));
    if !is_exact {
        let longest = queries::measure(pipeline.stats(), &truth.watched, plan.to_s(), args.days, args.repeats)?;
        let is_met = longest <= queries::GOAL;
        println!(
            "\nThe longest took {} ms; aimed at: {} ms, {}. Hours and days of series are those of {}.",
            millis(longest),
            queries::GOAL.as_millis(),
            met(is_met),
            queries::ZONE
        );
    }
    let wrong = check::counts(pipeline.stats(), &world, &truth, plan.from_s)?;
    check::estimates(pipeline.stats(), &world, &truth, plan.from_s)?;
    println!("\nMost memory resident at the end: {}.", mib(peak_resident_bytes()?));
    pipeline.close()?;
    if !args.keep {
        std::fs::remove_dir_all(&args.dir)?;
    }
    ensure!(wrong == 0, "{wrong} counts are wrong");
    ensure!(truth.clicks() == args.clicks, "{} clicks were made", truth.clicks());
    Ok(())
}

/// What loading took.
struct Loaded {
    elapsed: Duration,
    /// CPU time of all threads.
    cpu: Duration,
    /// Of it, that of the threads that were there, by name.
    threads: CpuTimes,
    /// Of it, the making of batches.
    own: Duration,
    own_bytes: u64,
    peak_bytes: u64,
    disk_bytes: u64,
    /// When what was put off has been made good for.
    settled_bytes: u64,
    details: u64,
}

fn load(args: &Load, world: &World, plan: &Plan, truth: &mut Truth) -> Result<Loaded> {
    let mut generator = Generator::new(world, plan, WORKERS, args.details);
    let own_bytes = resident_bytes()?;
    let mut threads = CpuTimes::default();
    println!("| clicks | day | s | resident | on the disk |\n| ---: | ---: | ---: | ---: | ---: |");
    let started = Instant::now();
    let (cpu_before, own_before) = (threads::of_process()?, threads::own()?);
    let open = || Pipeline::open(&args.dir, WORKERS, args.memory_mib * 1024 * 1024);
    let mut pipeline = open()?;
    let (mut clicks, mut stage, mut restart, mut drained) = (0, 1, 1, 0);
    loop {
        let day = generator.day();
        if day > drained {
            // So that maintenance gets its turn, as it does when days are as long as days are.
            pipeline.wait(0)?;
            drained = day;
        }
        let Some((batch, count)) = generator.next(truth) else { break };
        clicks += count;
        pipeline.put(batch)?;
        if clicks >= args.clicks * restart / (args.restarts + 1) && restart <= args.restarts {
            restart += 1;
            threads.add(&CpuTimes::now()?);
            // Without waiting: what is on its way must arrive as well.
            pipeline.close()?;
            pipeline = open()?;
            generator.restart();
        }
        if clicks >= args.clicks * stage / STAGES && stage < STAGES {
            stage += 1;
            course(args, clicks, day, started.elapsed())?;
        }
    }
    pipeline.wait(0)?;
    threads.add(&CpuTimes::now()?);
    let closing = Instant::now();
    pipeline.close()?;
    let (elapsed, closed) = (started.elapsed(), closing.elapsed());
    let (cpu, own) = (threads::of_process()? - cpu_before, threads::own()? - own_before);
    course(args, clicks, plan.days as usize - 1, elapsed)?;
    println!("\nThe last flush took {} ms.", millis(closed));
    let loaded_bytes = disk_bytes(&args.dir)?;
    let pipeline = open()?;
    std::thread::sleep(Duration::from_secs(args.settle));
    pipeline.close()?;
    Ok(Loaded {
        elapsed,
        cpu,
        threads,
        own,
        own_bytes,
        peak_bytes: peak_resident_bytes()?,
        disk_bytes: loaded_bytes,
        settled_bytes: disk_bytes(&args.dir)?,
        details: generator.details,
    })
}

fn course(args: &Load, clicks: u64, day: usize, elapsed: Duration) -> Result<()> {
    let (resident, disk) = (mib(resident_bytes()?), mib(settled_disk_bytes(&args.dir)));
    println!("| {} | {} | {:.0} | {resident} | {disk} |", thousands(clicks), day + 1, elapsed.as_secs_f64());
    Ok(())
}

/// Files come and go while it runs.
fn settled_disk_bytes(dir: &Path) -> u64 {
    (0..100).find_map(|_| disk_bytes(dir).ok()).unwrap_or_default()
}

fn figures(args: &Load, truth: &Truth, loaded: &Loaded) {
    let clicks = args.clicks as f64;
    let link_days: u64 = truth.link_days.iter().sum();
    let us = |time: Duration| time.as_secs_f64() * 1e6 / clicks;
    let cpu = loaded.cpu.saturating_sub(loaded.own);
    let (journal, rollups) = (loaded.threads.of("carom-clicks"), loaded.threads.of("carom-rollups"));
    let per_link_day = |bytes: u64| bytes as f64 / link_days as f64;
    let few = (truth.link_days[0] + truth.link_days[1]) as f64 / link_days as f64;
    let above = loaded.peak_bytes.saturating_sub(loaded.own_bytes);
    println!("\n| | | aimed at | |\n| --- | ---: | ---: | --- |");
    let row = |name: &str, figure: String| println!("| {name} | {figure} | | |");
    let goal = |name: &str, figure: f64, goal: f64| {
        println!("| {name} | {figure:.2} | {goal} | {} |", met(figure <= goal));
    };
    row("seconds in all, with the making of batches", format!("{:.1}", loaded.elapsed.as_secs_f64()));
    goal("µs per click, in all", us(loaded.elapsed), GOAL_US);
    row("… of CPU, all of the pipeline", format!("{:.3}", us(cpu)));
    row("… … of the journal's thread", format!("{:.3}", us(journal)));
    row("… … of the rollups' thread", format!("{:.3}", us(rollups)));
    row(
        "… … of others, such as the store's, and the last flush",
        format!("{:.3}", us(cpu.saturating_sub(journal + rollups))),
    );
    row("CPU µs per click of making batches, which is not the pipeline", format!("{:.3}", us(loaded.own)));
    row("details handed over, of the clicks", percent(loaded.details as f64 / clicks));
    row("link-days: days of links with clicks", thousands(link_days));
    row("… of them with 1 to 3 clicks", percent(few));
    row("bytes on the disk", thousands(loaded.disk_bytes));
    goal("… per link-day", per_link_day(loaded.disk_bytes), GOAL_BYTES);
    row("bytes on the disk after maintenance", thousands(loaded.settled_bytes));
    goal("… per link-day", per_link_day(loaded.settled_bytes), GOAL_BYTES);
    row("most memory resident", mib(loaded.peak_bytes));
    row("… above what making batches takes", mib(above));
}

fn met(is_met: bool) -> &'static str {
    if is_met { "met" } else { "missed" }
}
