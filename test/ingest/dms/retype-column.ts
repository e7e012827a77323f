import { readFile, writeFile } from 'node:fs/promises';
import { concatBytes } from '../../../src/lake/columns.ts';
import { endFile, footerLength, splitFooter, TAIL_BYTES } from '../../../src/lake/footer.ts';
import type { Field, Struct } from '../../../src/lake/thrift.ts';
import { int32, structField, structList, structOf, structsOf, textOf } from '../../../src/lake/thrift-fields.ts';

const [SCHEMA, GROUPS, COLUMNS, METADATA, NAME, TYPE] = [2, 4, 1, 3, 4, 1];

/**
 * Makes a file say another type of a column, whose bytes stay: the only way to types that DuckDB does not write.
 *
 * @param element fields of the SchemaElement, in the place of what it says beside name and repetition
 */
export async function retypeColumn(
  path: string,
  name: string,
  element: Readonly<Record<number, number>>,
): Promise<void> {
  const file = await readFile(path);
  const { struct } = splitFooter(file, path);
  const elements = structsOf(struct, SCHEMA, path);
  const at = elements.findIndex((one) => textOf(one, NAME, path) === name);
  const kept = [...elements[at]!].filter(([id]) => id === 3 || id === NAME);
  const changed: [number, Field][] = Object.entries(element).map(([id, value]) => [Number(id), int32(value)]);
  const retype = (chunk: Struct): Struct => {
    const metadata = new Map(structOf(chunk, METADATA, path)).set(TYPE, int32(element[TYPE]!));
    // Statistics are in the old type.
    metadata.delete(12);
    return new Map(chunk).set(METADATA, structField(metadata));
  };
  const groups = structsOf(struct, GROUPS, path).map((group) => {
    const chunks = structsOf(group, COLUMNS, path).map((chunk, c) => (c === at - 1 ? retype(chunk) : chunk));
    return new Map(group).set(COLUMNS, structList(chunks));
  });
  const footer: Struct = new Map(struct)
    .set(SCHEMA, structList(elements.map((one, i) => (i === at ? new Map([...kept, ...changed]) : one))))
    .set(GROUPS, structList(groups));
  const data = file.subarray(0, file.length - TAIL_BYTES - footerLength(file.subarray(-TAIL_BYTES), file.length, path));
  await writeFile(path, concatBytes([data, endFile(footer)]));
}
