package rules

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// The patterns, copied into another module as the README says, compile without a
// network and without this module. The module is always in the same directory, so
// that the go command finds in its cache what it has compiled.
func TestCopy(t *testing.T) {
	mod := bytes.Replace(read(t, filepath.Join(root, "go.mod")), []byte("module "+module), []byte("module example.com/yours"), 1)
	yours := filepath.Join(os.TempDir(), "natspatterns-copied")
	require.NoError(t, os.RemoveAll(yours))
	require.NoError(t, os.MkdirAll(yours, 0o777))
	require.NoError(t, os.WriteFile(filepath.Join(yours, "go.mod"), mod, 0o666))
	require.NoError(t, os.WriteFile(filepath.Join(yours, "go.sum"), read(t, filepath.Join(root, "go.sum")), 0o666))
	for _, name := range patterns(t) {
		run(t, exec.Command("make", "-s", "-C", root, "copy", "PATTERN="+name, "TO="+filepath.Join(yours, name)))
	}
	build := exec.Command("go", "build", "-mod=readonly", "./...")
	build.Dir, build.Env = yours, append(os.Environ(), "GOFLAGS=", "GOPROXY=off", "GOWORK=off")
	run(t, build)
}

func run(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}
