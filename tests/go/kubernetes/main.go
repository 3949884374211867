// Read Kubernetes manifests as the API server does: strictly, with its defaults, its validation, and the admission of
// pods by the Pod Security Standards' level "restricted". Prints a line for each object and each problem.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/apps"
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	appsvalidation "k8s.io/kubernetes/pkg/apis/apps/validation"
	"k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	corevalidation "k8s.io/kubernetes/pkg/apis/core/validation"
	"k8s.io/kubernetes/pkg/apis/networking"
	_ "k8s.io/kubernetes/pkg/apis/networking/install"
	networkingvalidation "k8s.io/kubernetes/pkg/apis/networking/validation"
	"k8s.io/kubernetes/pkg/apis/policy"
	_ "k8s.io/kubernetes/pkg/apis/policy/install"
	policyvalidation "k8s.io/kubernetes/pkg/apis/policy/validation"
	psa "k8s.io/pod-security-admission/api"
	psapolicy "k8s.io/pod-security-admission/policy"
)

func main() {
	wrong := 0
	for _, name := range os.Args[1:] {
		documents, err := split(name)
		if err != nil {
			fmt.Println(err)
			os.Exit(2)
		}
		for _, document := range documents {
			object, problems := check(document)
			for _, problem := range problems {
				fmt.Printf("%s: %v\n", object, problem)
			}
			if wrong += len(problems); len(problems) == 0 {
				fmt.Printf("%s: ok\n", object)
			}
		}
	}
	if wrong > 0 {
		os.Exit(1)
	}
}

func split(name string) (documents [][]byte, err error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	reader := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return documents, nil
		}
		if err != nil {
			return nil, err
		}
		documents = append(documents, document)
	}
}

func check(document []byte) (string, []error) {
	decoder := serializer.NewCodecFactory(legacyscheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	versioned, kind, err := decoder.Decode(document, nil, nil)
	if err != nil {
		return "unreadable", []error{err}
	}
	meta := versioned.(metav1.Object)
	meta.SetNamespace("default")
	name := kind.Kind + "/" + meta.GetName()
	problems := restricted(versioned)
	legacyscheme.Scheme.Default(versioned)
	hub := schema.GroupVersion{Group: kind.Group, Version: runtime.APIVersionInternal}
	internal, err := legacyscheme.Scheme.UnsafeConvertToVersion(versioned, hub)
	if err != nil {
		return name, append(problems, err)
	}
	for _, problem := range validate(internal) {
		problems = append(problems, problem)
	}
	return name, problems
}

func restricted(object runtime.Object) (problems []error) {
	var template *corev1.PodTemplateSpec
	switch one := object.(type) {
	case *appsv1.Deployment:
		template = &one.Spec.Template
	case *appsv1.StatefulSet:
		template = &one.Spec.Template
	default:
		return nil
	}
	evaluator, err := psapolicy.NewEvaluator(psapolicy.DefaultChecks(), nil)
	if err != nil {
		return []error{err}
	}
	level := psa.LevelVersion{Level: psa.LevelRestricted, Version: psa.LatestVersion()}
	for _, result := range evaluator.EvaluatePod(level, &template.ObjectMeta, &template.Spec) {
		if !result.Allowed {
			problems = append(problems, fmt.Errorf("restricted: %s: %s", result.ForbiddenReason, result.ForbiddenDetail))
		}
	}
	return problems
}

func validate(object runtime.Object) field.ErrorList {
	switch one := object.(type) {
	case *apps.Deployment:
		return appsvalidation.ValidateDeployment(one, corevalidation.PodValidationOptions{})
	case *apps.StatefulSet:
		return appsvalidation.ValidateStatefulSet(one, corevalidation.PodValidationOptions{})
	case *core.PersistentVolumeClaim:
		return corevalidation.ValidatePersistentVolumeClaim(one, corevalidation.PersistentVolumeClaimSpecValidationOptions{})
	case *core.Service:
		if one.Spec.ClusterIP != "" && len(one.Spec.ClusterIPs) == 0 { // as the registry does before it validates
			one.Spec.ClusterIPs = []string{one.Spec.ClusterIP}
		}
		return corevalidation.ValidateServiceCreate(one)
	case *networking.NetworkPolicy:
		return networkingvalidation.ValidateNetworkPolicy(one, networkingvalidation.NetworkPolicyValidationOptions{})
	case *policy.PodDisruptionBudget:
		return policyvalidation.ValidatePodDisruptionBudget(one, policyvalidation.PodDisruptionBudgetValidationOptions{})
	}
	return field.ErrorList{field.InternalError(nil, fmt.Errorf("no validation for %T", object))}
}
