//! Draws the pictures of the content folder, the bad ones too: `cargo run --release -p pictures -- ../content/pictures`.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::{ImageResult, Rgb, RgbImage};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("say which folder")?;
    let folder = Path::new(&folder);
    harbour().save(folder.join("harbour.png"))?;
    jpeg(&bulkheads(), &folder.join("bulkheads.jpg"))?;
    jpeg(&fractal(), &folder.join("fractal.jpg"))?;
    bomb(&folder.join("bomb.png"))?;

    // Torn: it ends inside its own headers.
    let whole = fs::read(folder.join("fractal.jpg"))?;
    fs::write(folder.join("torn.jpg"), &whole[..512])?;
    // Not a picture at all.
    fs::write(folder.join("words.png"), "These words say that they are a picture.\n")?;
    Ok(())
}

fn jpeg(picture: &RgbImage, path: &Path) -> ImageResult<()> {
    picture.write_with_encoder(JpegEncoder::new_with_quality(BufWriter::new(File::create(path)?), 80))
}

fn mix(a: [f32; 3], b: [f32; 3], t: f32) -> [f32; 3] {
    let t = t.clamp(0.0, 1.0);
    std::array::from_fn(|i| a[i] + (b[i] - a[i]) * t)
}

fn pixel(colour: [f32; 3]) -> Rgb<u8> {
    Rgb(colour.map(|c| (c.clamp(0.0, 1.0) * 255.0) as u8))
}

/// A sun over the sea.
fn harbour() -> RgbImage {
    RgbImage::from_fn(960, 600, |x, y| {
        let (x, y) = (x as f32, y as f32);
        let far = ((x - 640.0).powi(2) + (y - 250.0).powi(2)).sqrt();
        if y < 340.0 {
            let sky = mix([0.12, 0.16, 0.36], [0.98, 0.62, 0.36], y / 340.0);
            let glow = mix(sky, [1.0, 0.86, 0.6], 1.0 - far / 300.0);
            return pixel(if far < 62.0 { [1.0, 0.93, 0.78] } else { glow });
        }
        // Flat bands, so that the file stays small.
        let wave = ((x * 0.02 + (y * 0.35).sin() * 3.0).sin() * 3.0).round() / 3.0;
        let sea = mix([0.72, 0.42, 0.38], [0.05, 0.12, 0.25], (y - 340.0) / 220.0);
        let path = 1.0 - (x - 640.0).abs() / (30.0 + (y - 340.0) * 0.5);
        pixel(mix(sea, [1.0, 0.8, 0.55], path.clamp(0.0, 0.8) * (wave * 0.5 + 0.5)))
    })
}

/// A hull cut open: one compartment is flooded, the others are dry.
fn bulkheads() -> RgbImage {
    RgbImage::from_fn(960, 480, |x, y| {
        let (fx, fy) = (x as f32, y as f32);
        let sea = fy > 250.0 + (fx * 0.03).sin() * 4.0;
        let outside = if sea { [0.09, 0.32, 0.45] } else { [0.86, 0.93, 0.96] };
        let (left, right) = (110.0 + (fy - 170.0) * 0.35, 850.0 - (fy - 170.0) * 0.25);
        let inside = fx > left && fx < right && fy > 170.0 && fy < 400.0;
        if !inside {
            return pixel(outside);
        }
        let compartment = ((fx - 110.0) / 123.0).floor();
        let wall = (fx - 110.0) % 123.0 < 7.0 || fx < left + 8.0 || fx > right - 8.0 || fy > 390.0 || fy < 178.0;
        if wall {
            return pixel([0.2, 0.23, 0.27]);
        }
        let flooded = compartment == 3.0 && fy > 215.0;
        pixel(if flooded { [0.12, 0.47, 0.62] } else { [0.95, 0.88, 0.72] })
    })
}

/// A Julia set.
fn fractal() -> RgbImage {
    RgbImage::from_fn(900, 600, |x, y| {
        let (mut a, mut b) = ((x as f32 - 450.0) / 280.0, (y as f32 - 300.0) / 280.0);
        let mut turns = 0;
        while turns < 120 && a * a + b * b < 4.0 {
            (a, b) = (a * a - b * b - 0.79, 2.0 * a * b + 0.15);
            turns += 1;
        }
        let t = turns as f32 / 120.0;
        pixel(mix([0.04, 0.08, 0.16], mix([0.2, 0.7, 0.85], [1.0, 0.9, 0.6], t * 1.6 - 0.5), t.sqrt() * 1.3))
    })
}

/// A decompression bomb: a valid PNG of 32,000 by 32,000 black pixels, which needs a gigabyte.
fn bomb(path: &Path) -> Result<(), Box<dyn std::error::Error>> {
    const SIDE: u32 = 32_000;
    let mut encoder = png::Encoder::new(BufWriter::new(File::create(path)?), SIDE, SIDE);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    encoder.set_compression(png::Compression::High);
    encoder.set_filter(png::Filter::NoFilter);
    let mut header = encoder.write_header()?;
    let mut stream = header.stream_writer()?;
    let row = vec![0; (SIDE / 8) as usize];
    for _ in 0..SIDE {
        stream.write_all(&row)?;
    }
    stream.finish()?;
    Ok(())
}
