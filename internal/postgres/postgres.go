// Package postgres gives tests a PostgreSQL: a private one on a socket, started when
// first asked for, or the one whose address CATALOG_POSTGRES holds.
package postgres

import (
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver pgx

	"github.com/natspatterns/catalog/internal/natstest"
)

var (
	private cluster
	spaces  atomic.Int64
)

type cluster struct {
	dir, address string
	postgres     *exec.Cmd
	err          error
	tried        bool
}

// Main is the TestMain of a package that uses postgres and natstest.
func Main(m *testing.M) {
	os.Exit(natstest.Run(stopping{m}))
}

// stopping stops the PostgreSQL of the tests before anyone looks for what is left.
type stopping struct{ *testing.M }

func (m stopping) Run() int {
	defer private.stop()
	return m.M.Run()
}

// Address returns the address of a schema of the test's own, which goes with it.
// Where there is no PostgreSQL the test is skipped, but fails if CI is set.
func Address(tb testing.TB) string {
	tb.Helper()
	address, err := private.start()
	if err != nil && os.Getenv("CI") == "" {
		tb.Skipf("no PostgreSQL to test with: %v; install Debian's postgresql, or set CATALOG_POSTGRES", err)
	}
	if err != nil {
		tb.Fatal("postgres: ", err)
	}
	admin, err := sql.Open("pgx", address)
	if err != nil {
		tb.Fatal("postgres: ", err)
	}
	space := fmt.Sprintf("t%d_%d", os.Getpid(), spaces.Add(1))
	if _, err := admin.Exec("CREATE SCHEMA " + space); err != nil {
		tb.Fatal("postgres: ", err)
	}
	tb.Cleanup(func() {
		// A test that failed may have left a transaction open.
		if _, err := admin.Exec("SET lock_timeout = '5s'; DROP SCHEMA " + space + " CASCADE"); err != nil {
			tb.Error("postgres: ", err)
		}
		if err := admin.Close(); err != nil {
			tb.Error("postgres: ", err)
		}
	})
	return address + " search_path=" + space
}

func (c *cluster) start() (string, error) {
	if address := os.Getenv("CATALOG_POSTGRES"); address != "" {
		return address, nil
	}
	if !c.tried {
		c.tried = true
		c.err = c.boot()
	}
	return c.address, c.err
}

func (c *cluster) boot() error {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil || len(found) == 0 {
		return fmt.Errorf("there is no initdb under /usr/lib/postgresql")
	}
	bin := filepath.Dir(found[len(found)-1])
	if c.dir, err = os.MkdirTemp("", "postgres-"); err != nil {
		return err
	}
	run := []string{"--pdeathsig", "INT"} // it does not outlive a test that times out
	if os.Getuid() == 0 {                 // which it refuses to run as
		if err := exec.Command("chown", "postgres", c.dir).Run(); err != nil {
			return err
		}
		run = append(run, "--reuid=postgres", "--regid=postgres", "--clear-groups")
	}
	as := func(arg ...string) *exec.Cmd { return exec.Command("setpriv", append(run, arg...)...) }
	data := filepath.Join(c.dir, "data")
	if out, err := as(bin+"/initdb", "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync", "--wal-segsize=1").CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	c.postgres = as(bin+"/postgres", "-D", data, "-k", c.dir, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=50")
	if err := c.postgres.Start(); err != nil {
		return err
	}
	c.address = "host=" + c.dir + " user=postgres dbname=postgres"
	for range 1000 { // it takes a few milliseconds to ask; in a bubble, no time passes
		if as(bin+"/pg_isready", "-q", "-h", c.dir).Run() == nil {
			return nil
		}
	}
	return fmt.Errorf("it did not become ready")
}

func (c *cluster) stop() {
	if c.postgres != nil {
		_ = c.postgres.Process.Signal(os.Interrupt) // fast shutdown; if it is gone, so much the better
		_ = c.postgres.Wait()
	}
	if c.dir != "" {
		_ = os.RemoveAll(c.dir) // a leftover in $TMPDIR is no reason to fail
	}
}
