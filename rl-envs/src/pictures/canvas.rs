use rl_core::{Error, Image, Result};
use std::cell::Cell;
use tiny_skia::{FillRule, Paint, Path, PathBuilder, PixmapMut, Stroke, Transform};

thread_local! {
    /// The bytes of the last canvas, `[height, width, 4]`, for the next one of this thread: a new buffer for every
    /// picture would cost more than the drawing. Nothing of the last picture is seen.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A white area to draw on. Points are `[x, y]` with y upwards, from the lower left corner.
pub(super) struct Canvas<'a> {
    pixels: PixmapMut<'a>,
    /// From the units of the drawing to pixels.
    place: Transform,
    finite: bool,
}

/// Draws on `image`, to which an area of `[height, width]` units is stretched.
pub(super) fn draw(
    image: &mut Image<'_>,
    area: [f64; 2],
    paint: impl FnOnce(&mut Canvas<'_>),
) -> Result<()> {
    let (height, width) = (image.height(), image.width());
    let mut bytes = SPARE.take();
    bytes.clear();
    bytes.resize(4 * height * width, u8::MAX);
    let Some(pixels) = PixmapMut::from_bytes(&mut bytes, width as u32, height as u32) else {
        return Err(Error::config(
            "picture",
            "a size that can be drawn",
            format_args!("{height} x {width}"),
        ));
    };
    let scale = [width as f64 / area[1], height as f64 / area[0]].map(|scale| scale as f32);
    let place = Transform::from_row(scale[0], 0.0, 0.0, -scale[1], 0.0, height as f32);
    let mut canvas = Canvas { pixels, place, finite: true };
    paint(&mut canvas);
    let finite = canvas.finite;
    to_planes(&bytes, image);
    SPARE.set(bytes);
    if finite {
        Ok(())
    } else {
        Err(Error::Env("a state that is not finite has no picture".into()))
    }
}

/// Copies pixels `[height, width, 4]` to the planes of `image`. Most of a picture is white: such runs are the quicker ones.
fn to_planes(bytes: &[u8], image: &mut Image<'_>) {
    const RUN: usize = 16;
    image.fill([u8::MAX; 3]);
    let [red, green, blue] = image.planes();
    let planes = red.chunks_mut(RUN).zip(green.chunks_mut(RUN)).zip(blue.chunks_mut(RUN));
    for (from, ((red, green), blue)) in bytes.chunks(4 * RUN).zip(planes) {
        if from.iter().fold(u8::MAX, |all, byte| all & byte) == u8::MAX {
            continue;
        }
        for (((from, r), g), b) in from.chunks_exact(4).zip(red).zip(green).zip(blue) {
            (*r, *g, *b) = (from[0], from[1], from[2]);
        }
    }
}

impl Canvas<'_> {
    /// A filled polygon.
    pub(super) fn polygon(&mut self, corners: &[[f64; 2]], colour: [u8; 3]) {
        let path = self.path(corners, true);
        self.fill(path, colour);
    }

    /// A line through `points`, one unit wide.
    pub(super) fn line(&mut self, points: &[[f64; 2]], colour: [u8; 3]) {
        if let Some(path) = self.path(points, false) {
            let stroke = Stroke::default();
            self.pixels.stroke_path(&path, &solid(colour), &stroke, self.place, None);
        }
    }

    /// A filled circle.
    pub(super) fn circle(&mut self, centre: [f64; 2], radius: f64, colour: [u8; 3]) {
        let [x, y] = self.point(centre);
        let path = PathBuilder::from_circle(x, y, radius as f32);
        self.fill(path, colour);
    }

    /// A filled rectangle from the lower left corner to the upper right one, turned about `pivot`.
    pub(super) fn bar(&mut self, corners: [[f64; 2]; 2], pivot: Pivot, colour: [u8; 3]) {
        let [[left, bottom], [right, top]] = corners;
        let corners = [[left, bottom], [left, top], [right, top], [right, bottom]];
        self.polygon(&corners.map(|corner| pivot.turn(corner)), colour);
    }

    fn fill(&mut self, path: Option<Path>, colour: [u8; 3]) {
        // There is no path where nothing of it could be seen.
        if let Some(path) = path {
            self.pixels.fill_path(&path, &solid(colour), FillRule::Winding, self.place, None);
        }
    }

    fn path(&mut self, points: &[[f64; 2]], closed: bool) -> Option<Path> {
        let mut builder = PathBuilder::with_capacity(points.len() + 1, points.len());
        for (i, point) in points.iter().enumerate() {
            let [x, y] = self.point(*point);
            if i == 0 { builder.move_to(x, y) } else { builder.line_to(x, y) }
        }
        if closed {
            builder.close();
        }
        builder.finish()
    }

    /// A point in single precision. What lies far outside is brought nearer, where it is outside still.
    fn point(&mut self, point: [f64; 2]) -> [f32; 2] {
        const FAR: f64 = 1e5;
        self.finite &= point.iter().all(|x| x.is_finite());
        point.map(|x| x.clamp(-FAR, FAR) as f32)
    }
}

fn solid(colour: [u8; 3]) -> Paint<'static> {
    let mut paint = Paint::default();
    let [red, green, blue] = colour;
    paint.set_color_rgba8(red, green, blue, u8::MAX);
    paint
}

/// Where the origin of a part lies, and by how much the part is turned: radians, anticlockwise.
#[derive(Clone, Copy)]
pub(super) struct Pivot {
    pub(super) at: [f64; 2],
    pub(super) angle: f64,
}

impl Pivot {
    /// Where a point of the part lies.
    pub(super) fn turn(self, [x, y]: [f64; 2]) -> [f64; 2] {
        let (sin, cos) = self.angle.sin_cos();
        [self.at[0] + cos * x - sin * y, self.at[1] + sin * x + cos * y]
    }
}
