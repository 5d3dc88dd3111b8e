// Makes what is generated and therefore not committed. Run by scripts/bootstrap.mjs when its inputs changed.
process.stderr.write('naru: nothing to generate\n');
