//! The arithmetic of equal 16:9 cells in rows and columns. Everything it returns is even.

use media::Canvas;

use crate::Rect;

/// A block of equal cells, centred on its canvas.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cells {
    canvas: Canvas,
    pub(crate) width: u32,
    pub(crate) height: u32,
    gap: u32,
    columns: u32,
    rows: u32,
}

impl Cells {
    /// The largest cells of which `columns` by `rows` fit; none when they would vanish.
    pub(crate) fn fit(canvas: Canvas, columns: u32, rows: u32) -> Option<Self> {
        let gap = even(canvas.width.min(canvas.height) / 90);
        let room = |across: u32, count: u32| across.checked_sub(gap * (count - 1)).map(|free| free / count);
        let (width, height) = (room(canvas.width, columns)?, room(canvas.height, rows)?);
        let (width, height) = wide(width, height);
        (width > 0 && height > 0).then_some(Self { canvas, width, height, gap, columns, rows })
    }

    /// The rectangle from cell (`column`, `row`) over `across` by `down` cells, gaps between them included.
    pub(crate) fn span(&self, column: u32, row: u32, across: u32, down: u32) -> Rect {
        let length = |count: u32, cell: u32| count * cell + (count - 1) * self.gap;
        let left = even((self.canvas.width - length(self.columns, self.width)) / 2);
        let top = even((self.canvas.height - length(self.rows, self.height)) / 2);
        Rect {
            x: left + column * (self.width + self.gap),
            y: top + row * (self.height + self.gap),
            width: length(across, self.width),
            height: length(down, self.height),
        }
    }
}

/// The largest 16:9 rectangle in the middle of `within`.
pub(crate) fn inscribe(within: Rect) -> Rect {
    let (width, height) = wide(within.width, within.height);
    Rect {
        x: within.x + even((within.width - width) / 2),
        y: within.y + even((within.height - height) / 2),
        width,
        height,
    }
}

/// All of it.
pub(crate) fn whole(canvas: Canvas) -> Rect {
    Rect { x: 0, y: 0, width: even(canvas.width), height: even(canvas.height) }
}

/// `row` moved so that it stands in the middle of the canvas.
pub(crate) fn centre_row(canvas: Canvas, row: &mut [Rect]) {
    let (Some(first), Some(last)) = (row.first(), row.last()) else { return };
    let left = even((canvas.width - (last.x + last.width - first.x)) / 2);
    let from = first.x;
    for cell in row {
        cell.x = cell.x - from + left;
    }
}

/// Like [`centre_row`], downwards.
pub(crate) fn centre_column(canvas: Canvas, column: &mut [Rect]) {
    let (Some(first), Some(last)) = (column.first(), column.last()) else { return };
    let top = even((canvas.height - (last.y + last.height - first.y)) / 2);
    let from = first.y;
    for cell in column {
        cell.y = cell.y - from + top;
    }
}

fn wide(width: u32, height: u32) -> (u32, u32) {
    let width = even(width.min(height.saturating_mul(16) / 9));
    (width, even(width * 9 / 16))
}

fn even(n: u32) -> u32 {
    n & !1
}
