import { BatchLayerError } from '../errors.ts';
import { concatBytes } from './columns.ts';
import { digestBytes } from './digest.ts';
import { type Footer, footerLength, TAIL_BYTES } from './footer.ts';
import { writeStruct } from './thrift.ts';
import { structFrom, text } from './thrift-fields.ts';

// A digest of all bytes of a file, in the file: of its own digits, as zeros. A file that has the digest it carries is what
// the encoder wrote, to the byte, and needs no other check of its pages.

/** The metadata entry with the digest. */
export const FILE_DIGEST = 'batch_layer.file_digest';
/** What stands in the place of the digits while they are not known. */
export const NO_DIGITS = '0'.repeat(16);

const zeros = Buffer.from(NO_DIGITS);
/** The entry up to its digits, as Thrift has it: an entry ends in them and a byte. */
const entryStart = entry(FILE_DIGEST, NO_DIGITS).subarray(0, -1 - zeros.length);
/** The first entry of every file, up to its value. */
const firstStart = entry('batch_layer.rows', '').subarray(0, -2);
/** The only entry that the encoder adds to those it is given, after them. */
const arrowStart = entry('ARROW:schema', '').subarray(0, -2);

/**
 * Puts the key-value metadata of a file that was just encoded in the order given, of which the encoder knows nothing, and
 * the digest in its place: the last entry is {@link FILE_DIGEST}, with {@link NO_DIGITS}.
 */
export function sealFile(file: Uint8Array, metadata: ReadonlyMap<string, string>): void {
  const entries = [...metadata].map(([key, value]) => entry(key, value));
  const ordered = concatBytes(entries);
  const end = asBuffer(file).lastIndexOf(arrowStart);
  const start = end - ordered.length;
  const left = new Set(entries);
  for (let at = start; at < end; ) {
    const found = [...left].find((bytes) => asBuffer(file.subarray(at, at + bytes.length)).equals(bytes));
    if (start < 0 || found === undefined) throw new Error('the encoder wrote other metadata than it was given');
    left.delete(found);
    at += found.length;
  }
  file.set(ordered, start);
  file.set(Buffer.from(digestBytes(file)), end - 1 - zeros.length);
}

/**
 * Puts other key-value metadata into a copy of a file that {@link sealFile} has seen, and its digest: as long as what is there,
 * with the same names.
 */
export function resealFile(file: Uint8Array, metadata: ReadonlyMap<string, string>): void {
  const ordered = concatBytes([...metadata].map(([key, value]) => entry(key, value)));
  const start = startOfMetadata(file);
  const end = asBuffer(file).lastIndexOf(arrowStart);
  if (end - start !== ordered.length) throw new Error('other metadata than the file has room for');
  file.set(ordered, start);
  file.set(Buffer.from(digestBytes(file)), end - 1 - zeros.length);
}

/** Where the metadata of a file begins that {@link sealFile} has seen: with its number of rows. */
export function startOfMetadata(file: Uint8Array): number {
  return asBuffer(file).lastIndexOf(firstStart);
}

/**
 * Whether the file carries a digest of its bytes.
 *
 * @throws BatchLayerError `CorruptObject` where it is not theirs
 */
export function checkFileDigest(file: Uint8Array, footer: Footer, place: string): boolean {
  const expected = footer.metadata.get(FILE_DIGEST);
  if (expected === undefined) return false;
  const at = placeOfDigits(file, place);
  const found = digestBytes(file.subarray(0, at), zeros, file.subarray(at + zeros.length));
  const written = asBuffer(file.subarray(at, at + zeros.length)).toString('latin1');
  if (found === expected && found === written) return true;
  throw new BatchLayerError('CorruptObject', `${place}: its bytes have digest ${found}: expected another`);
}

function placeOfDigits(file: Uint8Array, place: string): number {
  const length = footerLength(file.subarray(-TAIL_BYTES), file.length, place);
  const from = file.length - TAIL_BYTES - length;
  const footer = asBuffer(file.subarray(from));
  const at = footer.indexOf(entryStart);
  if (at !== -1 && at === footer.lastIndexOf(entryStart)) return from + at + entryStart.length;
  throw new BatchLayerError('CorruptObject', `${place}: its metadata is damaged: digest of its bytes out of place`);
}

function entry(key: string, value: string): Uint8Array {
  return writeStruct(structFrom({ 1: text(key), 2: text(value) }));
}

function asBuffer({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}
