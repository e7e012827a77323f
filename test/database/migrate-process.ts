// A process that brings a database up to date, and prints the names of the migrations that it made.
import { openDatabase } from '../../src/database/connection.ts';
import { migrateDatabase } from '../../src/database/migrate.ts';

console.log(JSON.stringify(await migrateDatabase(openDatabase(process.argv[2]!))));
