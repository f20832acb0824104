//! The results as a picture: bars of requests per CPU-second, by scenario.

use crate::machine::Machine;
use crate::markdown::thousands;
use crate::results::Results;
use crate::servers::Peer;
use anyhow::{Context, Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::register_font;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

const WIDTH: u32 = 1600;
const HEIGHT: u32 = 820;
const HEAD: u32 = 130;
/// Axis labels to the left of a panel, in pixels.
const AXIS: u32 = 90;
const MARGIN: u32 = 24;
/// The part of a group's width that its bars take.
const BARS: f64 = 0.86;
const INK: RGBColor = RGBColor(33, 37, 41);
const FAINT: RGBColor = RGBColor(222, 226, 230);
const FONT: &str = "ubuntu";

type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;

/// Draws `file`, a PNG.
pub(crate) fn draw(results: &Results, machine: &Machine, links: usize, file: &Path) -> Result<()> {
    register_font(FONT, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT)
        .map_err(|_| anyhow!("the plot's font cannot be read"))?;
    let mut pixels = vec![0; (WIDTH * HEIGHT * 3) as usize];
    {
        let root = BitMapBackend::with_buffer(&mut pixels, (WIDTH, HEIGHT)).into_drawing_area();
        root.fill(&WHITE)?;
        let (head, body) = root.split_vertically(HEAD);
        heading(&head, results, machine, links)?;
        panels(&body, results)?;
        root.present()?;
    }
    write_png(&pixels, file).with_context(|| format!("writing {}", file.display()))
}

fn heading(area: &Area<'_>, results: &Results, machine: &Machine, links: usize) -> Result<()> {
    let title = format!("Redirects per CPU-second, {} links, one core", thousands(links as f64));
    area.draw(&Text::new(title, (MARGIN as i32, 22), font(34, HPos::Left)))?;
    let date = machine.date.split('T').next().unwrap_or_default();
    let under = format!(
        "{}, Linux {}, {date}. Bars: median of the rounds; lines: smallest to largest.",
        machine.cpu, machine.kernel
    );
    area.draw(&Text::new(under, (MARGIN as i32, 66), font(19, HPos::Left)))?;

    let mut x = MARGIN as i32;
    for facts in &results.facts {
        area.draw(&Rectangle::new([(x, 98), (x + 18, 116)], colour(facts.peer).filled()))?;
        let label = match facts.peer {
            Peer::Floor => "floor (constant answer, no parsing)",
            peer => peer.name(),
        };
        area.draw(&Text::new(label, (x + 26, 99), font(20, HPos::Left)))?;
        x += 26 + font(20, HPos::Left).font.box_size(label).map_or(100, |(width, _)| width as i32) + 36;
    }
    Ok(())
}

/// Pipelined requests have a panel and a scale of their own, or nothing would be left of the other bars.
fn panels(area: &Area<'_>, results: &Results) -> Result<()> {
    let (plain, pipelined): (Vec<usize>, Vec<usize>) =
        (0..results.scenarios.len()).partition(|&n| results.scenarios[n].pipelined == 1);
    let groups: Vec<Vec<usize>> = [plain, pipelined].into_iter().filter(|group| !group.is_empty()).collect();
    let panel_count = groups.len() as u32;
    let per_scenario = (WIDTH - panel_count * (AXIS + 2 * MARGIN)) / results.scenarios.len() as u32;
    let mut rest = area.clone();
    for group in groups {
        let (panel, after) = rest.split_horizontally(per_scenario * group.len() as u32 + AXIS + 2 * MARGIN);
        bars(&panel, results, &group)?;
        rest = after;
    }
    Ok(())
}

fn bars(area: &Area<'_>, results: &Results, scenarios: &[usize]) -> Result<()> {
    let spread = |n: usize, peer: Peer| results.spread(n, peer, |slice| slice.per_cpu_second());
    let all = scenarios.iter().flat_map(|&n| results.facts.iter().filter_map(move |facts| spread(n, facts.peer)));
    let top = all.map(|spread| spread.max).fold(0.0, f64::max) * 1.08;
    let mut chart = ChartBuilder::on(area)
        .margin(MARGIN)
        .set_label_area_size(LabelAreaPosition::Left, AXIS)
        .set_label_area_size(LabelAreaPosition::Bottom, 40)
        .build_cartesian_2d(0.0..scenarios.len() as f64, 0.0..top)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .light_line_style(WHITE)
        .bold_line_style(FAINT)
        .axis_style(FAINT)
        .y_labels(8)
        .y_label_style(font(18, HPos::Right).font)
        .y_label_formatter(&|value| thousands(*value))
        .draw()?;

    let width = BARS / results.facts.len() as f64;
    for (group, &n) in scenarios.iter().enumerate() {
        for (bar, facts) in results.facts.iter().enumerate() {
            let Some(spread) = spread(n, facts.peer) else { continue };
            let left = group as f64 + (1.0 - BARS) / 2.0 + bar as f64 * width;
            let (right, middle) = (left + width * 0.92, left + width * 0.46);
            let colour = colour(facts.peer).filled();
            chart.draw_series([Rectangle::new([(left, 0.0), (right, spread.median)], colour)])?;
            let range = [(middle, spread.min), (middle, spread.max)];
            chart.draw_series([PathElement::new(range, INK.stroke_width(2))])?;
            let (x, y) = chart.backend_coord(&(middle, spread.max));
            area_text(area, &short(spread.median), (x, y - 20), 18)?;
        }
        let (x, y) = chart.backend_coord(&(group as f64 + 0.5, 0.0));
        area_text(area, &results.scenarios[n].label(), (x, y + 12), 22)?;
    }
    Ok(())
}

/// Text centred on a pixel of the whole picture.
fn area_text(area: &Area<'_>, text: &str, (x, y): (i32, i32), size: u32) -> Result<()> {
    let (left, top) = area.get_base_pixel();
    area.draw(&Text::new(text.to_owned(), (x - left, y - top), font(size, HPos::Center)))?;
    Ok(())
}

fn font(size: u32, horizontal: HPos) -> TextStyle<'static> {
    (FONT, size).into_font().color(&INK).pos(Pos::new(horizontal, VPos::Top))
}

fn colour(peer: Peer) -> RGBColor {
    match peer {
        Peer::Carom => RGBColor(217, 72, 15),
        Peer::Nginx => RGBColor(47, 158, 68),
        Peer::Haproxy => RGBColor(28, 126, 214),
        Peer::Floor => RGBColor(173, 181, 189),
        Peer::FloorRing => RGBColor(73, 80, 87),
        Peer::CaromCounts => RGBColor(247, 159, 31),
        Peer::CaromUncounted => RGBColor(134, 142, 150),
        Peer::CaromTwo => RGBColor(174, 62, 201),
        Peer::CaromOther => RGBColor(240, 140, 60),
    }
}

/// Three digits, which is more than a noisy machine can vouch for.
fn short(figure: f64) -> String {
    if figure >= 1e6 { format!("{:.2} M", figure / 1e6) } else { format!("{:.0} k", figure / 1e3) }
}

fn write_png(pixels: &[u8], file: &Path) -> Result<()> {
    let mut encoder = png::Encoder::new(BufWriter::new(File::create(file)?), WIDTH, HEIGHT);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(())
}
