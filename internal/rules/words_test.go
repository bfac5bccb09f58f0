package rules

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Words that have a standard term; see docs/STYLE.md.
var banned = regexp.MustCompile(`(?i)\b(told|whoever|hopeless|harvest|treaty|patience|settle[sd]?|made anew)\b`)

func TestWords(t *testing.T) {
	for _, dir := range []string{"patterns", "internal"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(file string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") ||
				strings.Contains(filepath.ToSlash(file), "internal/demo/") {
				return err
			}
			for i, line := range bytes.Split(read(t, file), []byte("\n")) {
				if word := banned.Find(line); word != nil {
					t.Errorf("%s:%d: %q is not a standard term; see docs/STYLE.md", file, i+1, word)
				}
			}
			return nil
		})
		require.NoError(t, err)
	}
}

// The text of an error that several patterns have, after the name of the pattern.
var sentinels = map[string]string{
	"ErrID":         "bad ID",
	"ErrConfig":     "bad config",
	"ErrMismatch":   "exists with other settings; change Config or call Provision",
	"ErrAlreadyRun": "Run was already called",
	"ErrPoison":     "poison message",
	"ErrRecreated":  "the stream was recreated",
}

var sentinel = regexp.MustCompile(`(?m)^(?:var )?\s*(Err[A-Z]\w*)\s*= errors\.New\("([^"]*)"\)`)

// The same error has the same text in every pattern.
func TestErrorTexts(t *testing.T) {
	for _, name := range patterns(t) {
		for _, file := range handWritten(t, name) {
			for _, m := range sentinel.FindAllSubmatch(read(t, file), -1) {
				prefix, text, _ := strings.Cut(string(m[2]), ": ")
				if want, ok := sentinels[string(m[1])]; prefix != name || ok && text != want {
					t.Errorf("%s: %s is %q, want %q", file, m[1], m[2], name+": "+want)
				}
			}
		}
	}
}

var testFiles = []string{"example", "bench", "config", "limits", "shutdown", "faults", "sweep", "mutants", "conformance", "notpromised", "cluster", "containers", "helpers", "export"}

// A test file says by its name what it proves, or which file it tests.
func TestTestFiles(t *testing.T) {
	for _, name := range patterns(t) {
		for _, file := range goFiles(t, name) {
			base, isTest := strings.CutSuffix(filepath.Base(file), "_test.go")
			if !isTest || slices.Contains(testFiles, base) {
				continue
			}
			of, _, _ := strings.Cut(base, "_")
			if _, err := os.Stat(filepath.Join(root, "patterns", name, of+".go")); errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: name it for the file that it tests, or one of %q", file, testFiles)
			}
		}
	}
}
