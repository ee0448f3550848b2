import { writeFile } from 'node:fs/promises';
import { componentize } from '@bytecodealliance/componentize-js';

const [sourcePath, witPath, worldName, output, without] = process.argv.slice(-5);
const { component } = await componentize({
  sourcePath,
  witPath,
  worldName,
  disableFeatures: without === 'none' ? [] : without.split(','),
});
await writeFile(output, component);
