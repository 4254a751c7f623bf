use super::{Game, MinAtar, SIDE};
use rl_core::{Image, Render, Result};

/// A colour for each channel: Okabe and Ito's, which the colour-blind can tell apart.
const PALETTE: [[u8; 3]; 7] = [
    [230, 159, 0],
    [86, 180, 233],
    [0, 158, 115],
    [240, 228, 66],
    [0, 114, 178],
    [213, 94, 0],
    [204, 121, 167],
];

/// Ten by ten cells on black; a later channel covers an earlier one. Before the first reset there is nothing to see, and
/// after an episode's end its last frame. The colours of the channels, in their order: orange, sky blue, green, yellow,
/// blue, vermilion, purple.
impl<G: Game> Render for MinAtar<G> {
    fn image_size(&self) -> [usize; 2] {
        [20 * SIDE; 2]
    }

    fn render(&self, image: &mut Image<'_>) -> Result<()> {
        let mut cells: [[Option<usize>; SIDE]; SIDE] = Default::default();
        if let Some(game) = self.game.as_ref().or(self.ended.as_ref()) {
            game.show(|channel, y, x| cells[y][x] = cells[y][x].max(Some(channel)));
        }
        // A game with more channels than colours begins anew.
        let colour = |cell: Option<usize>| cell.map_or([0; 3], |c| PALETTE[c % PALETTE.len()]);
        let cells = cells.map(|row| row.map(colour));
        let (height, width) = (image.height(), image.width());
        // A pixel shows the cell that its index falls into: `first` is the first one of a cell.
        let first = |cell: usize, side: usize| (cell * side).div_ceil(SIDE);
        for (channel, plane) in image.planes().into_iter().enumerate() {
            for (y, cells) in cells.iter().enumerate() {
                let rows = first(y, height)..first(y + 1, height);
                for row in plane[rows.start * width..rows.end * width].chunks_exact_mut(width) {
                    for (x, colour) in cells.iter().enumerate() {
                        row[first(x, width)..first(x + 1, width)].fill(colour[channel]);
                    }
                }
            }
        }
        Ok(())
    }
}
