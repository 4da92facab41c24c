//! A drawing of a schema, laid out without Graphviz.

use std::collections::HashMap;

use db_migrate::catalog::model::{Model, Table};
use layout::backends::svg::SVGWriter;
use layout::core::base::Orientation;
use layout::core::color::Color;
use layout::core::geometry::Point;
use layout::core::style::StyleAttr;
use layout::std_shapes::shapes::{Arrow, Element, RecordDef, ShapeKind};
use layout::topo::layout::VisualGraph;

/// Colours with transparency are beyond many programs; these need none.
const COLOURS: [(&str, &str); 3] = [
    ("\"#ffffffff\"", "\"white\""),
    ("\"#000000ff\"", "\"black\""),
    ("\"#00000000\"", "\"none\""),
];

/// The size of letters, and the width of lines.
const FONT: usize = 13;
const STROKE: usize = 1;

/// What a letter and a line of the drawing's font take up.
const LETTER: f64 = 8.5;
const LINE: f64 = 22.0;

/// A picture of all tables, with an arrow for each foreign key, from the table that refers to another.
pub(super) fn draw(model: &Model) -> String {
    let mut graph = VisualGraph::new(Orientation::LeftToRight);
    let mut nodes = HashMap::new();
    for table in &model.tables {
        nodes.insert(table.name.as_str(), graph.add_node(node(table)));
    }
    for table in &model.tables {
        for key in &table.foreign_keys {
            let ends = (
                nodes.get(table.name.as_str()),
                nodes.get(key.references.as_str()),
            );
            if let (Some(from), Some(to)) = ends {
                graph.add_edge(Arrow::default(), *from, *to);
            }
        }
    }
    let mut svg = SVGWriter::new();
    graph.do_it(false, false, false, &mut svg);
    let mut picture = svg.finalize();
    picture.push('\n');
    COLOURS.iter().fold(picture, |picture, (written, known)| {
        picture.replace(written, known)
    })
}

/// A box with the table's name over its columns.
fn node(table: &Table) -> Element {
    let mut lines = vec![table.name.clone()];
    for column in &table.columns {
        lines.push(format!("{} {}", column.name, column.declared_type));
    }
    let widest = lines.iter().map(|line| line.chars().count()).max();
    let fields = lines
        .iter()
        .map(|line| RecordDef::Text(line.clone(), None))
        .collect();
    #[expect(
        clippy::cast_precision_loss,
        reason = "names are shorter than 2^52 letters"
    )]
    let size = Point::new(
        widest.unwrap_or(0) as f64 * LETTER,
        lines.len() as f64 * LINE,
    );
    let record = RecordDef::Array(vec![RecordDef::Array(fields)]);
    let shape = ShapeKind::new_record(&record);
    let (black, white) = (Color::fast("black"), Color::fast("white"));
    let look = StyleAttr::new(black, STROKE, Some(white), 0, FONT);
    Element::create(shape, look, Orientation::LeftToRight, size)
}
