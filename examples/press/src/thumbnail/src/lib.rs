//! A picture, made small. It sets no limits of its own on what it unpacks: its budget in the manifest is the limit, and a
//! picture that goes beyond it ends this instance and nothing else.

wit_bindgen::generate!({ path: "../../wit", world: "thumbnail" });

use std::io::Cursor;

use exports::press::image::thumbnail::Guest;
use image::ImageReader;
use image::codecs::jpeg::JpegEncoder;

struct Thumbnail;

impl Guest for Thumbnail {
    fn make(picture: Vec<u8>, width: u32, height: u32) -> Result<Vec<u8>, String> {
        let mut reader =
            ImageReader::new(Cursor::new(picture)).with_guessed_format().map_err(|error| error.to_string())?;
        reader.no_limits();
        let whole = reader.decode().map_err(|error| error.to_string())?;
        let small = whole.thumbnail(width, height).into_rgb8();
        let mut bytes = Vec::new();
        small.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 82)).map_err(|error| error.to_string())?;
        Ok(bytes)
    }
}

export!(Thumbnail);
