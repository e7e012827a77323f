-- What a writer, a reader and the retention job need of the database: three roles without login, to be granted to users that have
-- one, such as GRANT batch_layer_writer TO fetcher. Run it as the owner of the tables, after batch-layer db migrate; run again, also
-- after a later migration, it does no harm:
--
--   psql "$DATABASE_URL" --single-transaction -v ON_ERROR_STOP=1 -f docs/database-roles.sql

DO $$
DECLARE
  role text;
BEGIN
  FOREACH role IN ARRAY ARRAY['batch_layer_writer', 'batch_layer_reader', 'batch_layer_retention'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
      EXECUTE format('CREATE ROLE %I NOLOGIN', role);
    END IF;
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), role);
  END LOOP;
  -- Rows are staged in temporary tables.
  EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO batch_layer_writer', current_database());
END $$;

-- Nobody but the owner puts tables and functions beside these.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO batch_layer_writer, batch_layer_reader, batch_layer_retention;

-- Bars are never deleted. Months begin by route_ohlcv_months, tables of silver by create_silver_table. Rights on a partition itself
-- nobody needs: raw_ohlcv has them.
GRANT SELECT ON ohlcv_months TO batch_layer_writer;
GRANT SELECT, INSERT ON lake TO batch_layer_writer;
GRANT SELECT, INSERT, UPDATE ON raw_ohlcv, raw_ohlcv_archive, watermarks TO batch_layer_writer;
GRANT SELECT, INSERT, UPDATE, DELETE ON symbol_metadata, silver_files TO batch_layer_writer;
GRANT EXECUTE ON FUNCTION route_ohlcv_months, create_silver_table, bar_hash TO batch_layer_writer;

GRANT SELECT ON lake, raw_ohlcv, raw_ohlcv_archive, ohlcv_months, watermarks, symbol_metadata, silver_files,
  v_raw_ohlcv_data_distribution, v_archive_statistics TO batch_layer_reader;

-- Bars are moved by archive_ohlcv_month only, which writes the log too.
GRANT SELECT ON raw_ohlcv, raw_ohlcv_archive, ohlcv_months, data_retention_log,
  v_raw_ohlcv_data_distribution, v_archive_statistics, v_retention_log_summary TO batch_layer_retention;
GRANT EXECUTE ON FUNCTION archive_ohlcv_month, log_archive_failure TO batch_layer_retention;
GRANT EXECUTE ON PROCEDURE archive_old_ohlcv_data TO batch_layer_retention;

-- The tables of silver that are there; those made later get the grants of silver_files.
DO $$
DECLARE
  name regclass;
BEGIN
  FOR name IN SELECT oid FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND relname ~ '^silver_[0-9]+d$'
  LOOP
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO batch_layer_writer', name);
    EXECUTE format('GRANT SELECT ON %s TO batch_layer_reader', name);
  END LOOP;
END $$;
