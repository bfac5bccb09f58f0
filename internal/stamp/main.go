// Command stamp writes into each pattern's shared.go what it uses of package shared.
package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	src, err := os.ReadFile("internal/shared/shared.go")
	check(err)
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "shared.go", src, parser.ParseComments)
	check(err)
	dirs, err := filepath.Glob("patterns/*")
	check(err)
	for _, dir := range dirs {
		file := filepath.Join(dir, "shared.go")
		used := names(dir)
		var parts []string
		imports := map[string]bool{}
		for more := true; more; { // what is used by what is used
			more = false
			for _, d := range f.Decls {
				if n := name(d); n != "" && used[n] && !used["+"+n] {
					used["+"+n], more = true, true
					idents(d, used)
				}
			}
		}
		for _, d := range f.Decls {
			if n := name(d); n != "" && used[n] {
				parts = append(parts, string(src[fset.Position(doc(d)).Offset:fset.Position(d.End()).Offset]))
				ast.Inspect(d, func(x ast.Node) bool {
					if s, ok := x.(*ast.SelectorExpr); ok {
						if id, ok := s.X.(*ast.Ident); ok {
							imports[id.Name] = true
						}
					}
					return true
				})
			}
		}
		if parts == nil {
			continue
		}
		var b bytes.Buffer
		fmt.Fprintf(&b, "// Code generated from internal/shared by stamp; DO NOT EDIT.\n\npackage %s\n\nimport (\n", filepath.Base(dir))
		for _, imp := range f.Imports {
			p := strings.Trim(imp.Path.Value, `"`)
			if imports[p[strings.LastIndexByte(p, '/')+1:]] {
				fmt.Fprintf(&b, "%q\n", p)
			}
		}
		fmt.Fprintf(&b, ")\n\n%s\n", strings.Join(parts, "\n\n"))
		out, err := format.Source(b.Bytes())
		check(err)
		check(os.WriteFile(file, out, 0o666))
	}
}

// names are the identifiers that a package uses, less those that it declares.
func names(dir string) map[string]bool {
	used, files := map[string]bool{}, must(filepath.Glob(filepath.Join(dir, "*.go")))
	var own []string
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || filepath.Base(file) == "shared.go" {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		check(err)
		idents(f, used)
		for _, d := range f.Decls {
			own = append(own, name(d))
		}
	}
	for n := range used {
		if slices.Contains(own, n) {
			delete(used, n)
		}
	}
	return used
}

func idents(n ast.Node, used map[string]bool) {
	ast.Inspect(n, func(x ast.Node) bool {
		if id, ok := x.(*ast.Ident); ok {
			used[id.Name] = true
		}
		return true
	})
}

func name(d ast.Decl) string {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			return d.Name.Name
		}
	case *ast.GenDecl:
		if t, ok := d.Specs[0].(*ast.TypeSpec); ok {
			return t.Name.Name
		}
	}
	return ""
}

func doc(d ast.Decl) token.Pos {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Doc != nil {
			return d.Doc.Pos()
		}
	case *ast.GenDecl:
		if d.Doc != nil {
			return d.Doc.Pos()
		}
	}
	return d.Pos()
}

func must[T any](v T, err error) T { check(err); return v }

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
